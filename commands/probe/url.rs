//! `dbgate probe URL`: one probe or several.

use std::process::ExitCode;

use anyhow::{Context, Result};
use dbgate::probe::active::{self, Options, Roots, Setup, Sni, Target};
use dbgate::protocol::Protocol;
use dbgate::similar::similar;

use super::exit_code::{USAGE, of};
use super::{print, repeat};
use crate::cli::{Starttls, UrlArgs};
use crate::out;

/// Probes, prints, and returns the exit code.
pub(crate) fn run(args: &UrlArgs) -> Result<ExitCode> {
    let url = args.url.as_deref().unwrap_or_default();
    // Not clap's to parse: it would quote the URL, with the password that may be in it.
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(error) => {
            let hint =
                meant(url).map(|command| format!("; or did you mean `dbgate probe {command}`?"));
            let hint = hint.unwrap_or_default();
            return Ok(usage(&format!("invalid URL: {error}{hint}")));
        }
    };
    let of_postgres = [
        ("--starttls", args.starttls != Starttls::Auto),
        ("--check-plaintext", args.check_plaintext),
    ];
    if target.protocol != Some(Protocol::Postgres)
        && let Some((flag, _)) = of_postgres.iter().find(|(_, given)| *given)
    {
        return Ok(usage(&format!("{flag} is for postgres:// only")));
    }
    let setup = match Setup::load(options(args)) {
        Ok(setup) => setup,
        Err(error) => return Ok(usage(&error.to_string())),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let code = runtime.block_on(look(args, &target, &setup));
    // A resolver that does not answer must not hold the end up.
    runtime.shutdown_background();
    Ok(ExitCode::from(code?))
}

/// The command of `probe` that is closest to a word that is not a URL.
fn meant(word: &str) -> Option<&'static str> {
    similar(word, ["listen", "pcap", "explain"])
}

fn usage(message: &str) -> ExitCode {
    out::complain(message);
    ExitCode::from(USAGE)
}

fn options(args: &UrlArgs) -> Options {
    Options {
        sni: match (&args.sni, args.no_sni) {
            (Some(name), _) => Sni::Name(name.clone()),
            (None, true) => Sni::None,
            (None, false) => Sni::Host,
        },
        connect: args.connect.clone(),
        starttls: match args.starttls {
            Starttls::Auto => active::Starttls::Auto,
            Starttls::Sslrequest => active::Starttls::SslRequest,
            Starttls::Direct => active::Starttls::Direct,
        },
        roots: match (&args.ca, args.insecure) {
            (Some(file), _) => Roots::File(file.clone()),
            (None, true) => Roots::Insecure,
            (None, false) => Roots::System,
        },
        identity: args.client_cert.clone().zip(args.client_key.clone()),
        only: args.tls,
        split: args.split,
        compare_no_sni: args.compare_no_sni,
        check_plaintext: args.check_plaintext,
        timeout: args.timeout,
    }
}

async fn look(args: &UrlArgs, target: &Target, setup: &Setup) -> Result<u8> {
    if !target.ignored.is_empty() {
        let ignored = target.ignored.join(", ");
        out::complain(&format!("ignored in the URL: {ignored}"));
    }
    if target.hosts.len() > 1 && !args.each_address {
        out::complain("only the first host of the URL is probed; --each-address probes all");
    }
    if args.each_address {
        return repeat::each_address(args, target, setup).await;
    }
    if let Some(count) = args.count {
        return repeat::count(args, target, setup, count).await;
    }
    if let Some(wait) = args.wait {
        return repeat::wait(args, target, setup, wait).await;
    }
    let report = active::probe(target, setup).await;
    print::show(&report, args.output)?;
    Ok(of(&report))
}
