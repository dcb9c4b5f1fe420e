//! `dbgate cert`: certificates and keys in files.
//!
//! Exit codes of `ca` and `new`: 0 done or as it was before (10 renewed, with `--exit-code`), 1 not done, 2 usage, 3 a file cannot be
//! read as what it should be, 4 something else is there already.

mod check;
mod common;
mod lines;
mod secret;
mod show;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use dbgate::cert::{
    self, HostName, IssuedPair, LeafRequest, PairChange, RootRequest, Signer, Subject,
};

use crate::cli::{CaArgs, CertArgs, CertCommand, NewArgs};
use crate::out;
use crate::table::{escape_lines, fields};
use common::{Failure, USAGE, print};

/// Runs one command and prints its result.
pub(crate) fn run(args: CertArgs) -> ExitCode {
    let done = match args.command {
        CertCommand::Ca(args) => ca(args),
        CertCommand::New(args) => new(args),
        CertCommand::Show(args) => show::run(&args),
        CertCommand::Check(args) => check::run(&args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Failure { code, message }) => {
            out::complain(&escape_lines(&message));
            ExitCode::from(code)
        }
    }
}

fn ca(args: CaArgs) -> Result<u8, Failure> {
    let wanted = RootRequest {
        dir: args.dir,
        name: args.name,
        lifetime: days(args.days),
        domains: args.constrain,
    };
    let made = cert::make_root(&wanted, SystemTime::now())?;
    remark(&made);
    print(&(told(&made) + &lines::after_root(&made)))?;
    Ok(0)
}

fn new(args: NewArgs) -> Result<u8, Failure> {
    if args.secret.is_some() && io::stdout().is_terminal() {
        return Err(Failure::new(
            USAGE,
            "--secret prints the private key, which is nothing for a terminal: let a file or \
             `kubectl apply -f -` take it",
        ));
    }
    let wanted = LeafRequest {
        subject: subject(&args)?,
        signer: if args.self_signed {
            Signer::Itself
        } else {
            Signer::Authority(args.ca.unwrap_or_else(|| PathBuf::from(".")))
        },
        lifetime: days(args.days),
        out: args.out.unwrap_or_else(|| PathBuf::from(".")),
        if_due: args.if_due,
        force: args.force,
        new_key: args.new_key,
    };
    let made = cert::make_leaf(&wanted, SystemTime::now())?;
    let did = if args.if_due.is_some() {
        due(&made)
    } else {
        told(&made)
    };
    let code = match made.change {
        PairChange::Unchanged => 0,
        _ if args.exit_code => RENEWED,
        _ => 0,
    };
    remark(&made);
    if let Some(name) = &args.secret {
        out::print_err(&did);
        print(&secret::manifest(name, args.namespace.as_deref(), &made)?)?;
        return Ok(code);
    }
    let after = if made.change == PairChange::Unchanged {
        String::new()
    } else {
        lines::after_leaf(&wanted.subject, &made)
    };
    print(&(did + &after))?;
    Ok(code)
}

/// Exit code of `--exit-code` for a new certificate.
const RENEWED: u8 = 10;

/// As [`told`], which begins with one of two words.
fn due(made: &IssuedPair) -> String {
    let told = told(made);
    match made.change {
        PairChange::Unchanged | PairChange::Renewed => told,
        _ => format!("renewed: {told}"),
    }
}

fn subject(args: &NewArgs) -> Result<Subject, Failure> {
    if args.client {
        let [name] = args.names.as_slice() else {
            let message = "a client has one name: with --client give exactly one";
            return Err(Failure::new(USAGE, message));
        };
        return Ok(Subject::Client(name.clone()));
    }
    let mut names: Vec<HostName> = Vec::new();
    for text in &args.names {
        let name = text
            .parse()
            .map_err(|message: String| Failure::new(USAGE, message))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(Subject::Server(names))
}

fn days(number: u32) -> Duration {
    Duration::from_secs(u64::from(number) * 24 * 60 * 60)
}

fn remark(made: &IssuedPair) {
    for remark in &made.remarks {
        out::print_err(&format!("note: {}\n", escape_lines(remark)));
    }
}

/// Describes the change and the pair as it is now.
fn told(made: &IssuedPair) -> String {
    let files = format!("{} and {}", made.cert.display(), made.key.display());
    let key = if made.new_key {
        ", with a new key"
    } else {
        ", with the same key"
    };
    let did = match made.change {
        PairChange::Made => format!("made {files}"),
        PairChange::Renewed => format!("renewed {}{key}", made.cert.display()),
        PairChange::Extended => format!("added names to {}{key}", made.cert.display()),
        PairChange::Repaired => format!("repaired {files}: they did not belong together"),
        PairChange::Replaced => format!("replaced {files}"),
        PairChange::Unchanged => format!("unchanged: {files}, {} days left", made.view.days_left),
    };
    let view = &made.view;
    let mut rows = vec![("  subject", view.subject.clone())];
    if !view.names.is_empty() {
        rows.push(("  names", view.names.join(", ")));
    }
    let issuer = if view.self_signed {
        "itself".to_owned()
    } else {
        format!("{} ({})", view.issuer, made.trust.display())
    };
    rows.push(("  signed by", issuer));
    rows.push((
        "  until",
        format!("{} ({} days)", view.not_after, view.days_left),
    ));
    rows.push(("  sha256", view.sha256.clone()));
    format!("{}\n{}", escape_lines(&did), fields(&rows))
}
