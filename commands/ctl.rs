//! `dbgate ctl`: one command to a running gateway, and its answer as a table or JSON.
//!
//! Exit codes: 0 done, 1 the gateway refused, 2 usage, 3 gateway not reachable, 4 conflict,
//! 5 not found. `diff` is apart: 0 the same, 1 differences, 2 they could not be compared, 3 gateway
//! not reachable.

mod follow;
mod page;
mod print;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use dbgate::control::answer::{ExposeAnswer, PerDatabase, ShowAnswer, StatusAnswer};
use dbgate::control::client::Client;
use dbgate::control::params::{
    self, EventsParams, Names, RejectsParams, RunningSessions, SessionsParams,
};
use dbgate::route::access::Access;
use dbgate::route::hold::{Hold, Wake};
use dbgate::route::spec::{BackendTls, ClientTls};
use dbgate::tls::material::MaterialOrigin;
use serde::Serialize;
use serde_json::Value;

use crate::cli::{
    CtlArgs, CtlCommand, EventsArgs, ExposeArgs, HideArgs, Output, RejectsArgs, SessionsArgs,
};
use crate::failure::{Failure, NOT_FOUND, REFUSED, USAGE};
use crate::out;
use crate::socket;
use follow::Follower;
use print::Outcome;

/// Exit code of `diff` as of `diff` and `kubectl diff`.
const DIFFERENT: u8 = 1;
const NOT_COMPARED: u8 = 2;

/// Carries out one command and prints the result.
pub(crate) fn run(args: CtlArgs) -> ExitCode {
    let is_diff = matches!(args.command, CtlCommand::Diff);
    let json = args.output == Output::Json;
    match execute(args) {
        Ok(code) => ExitCode::from(code),
        // That nothing could be compared must not look like differences.
        Err(failure) if is_diff && failure.exit == DIFFERENT => Failure {
            exit: NOT_COMPARED,
            ..failure
        }
        .report(json),
        Err(failure) => failure.report(json),
    }
}

fn execute(args: CtlArgs) -> Result<u8, Failure> {
    let CtlArgs {
        socket,
        output,
        command,
    } = args;
    let (cmd, mut params) = request(&command)?;
    if let (Some(reason), Some(params)) = (reason(&command), params.as_object_mut()) {
        params.insert("reason".to_owned(), reason.into());
    }
    let socket = socket.unwrap_or_else(socket::find);
    let failed = |error| Failure::from_client(error, &socket);
    let mut client = Client::connect(&socket).map_err(failed)?;
    let follower = |client| Follower {
        client,
        socket: &socket,
        output,
    };
    match &command {
        CtlCommand::Events(args) if args.follow => return follower(client).events(&events(args)),
        CtlCommand::Rejects(args) if args.follow => {
            return follower(client).rejects(&rejects(args));
        }
        CtlCommand::Sessions(args) if args.watch => {
            return follower(client).sessions(&sessions(args));
        }
        _ => {}
    }
    let answer = client.send(cmd, &params).map_err(failed)?;
    let (mut page, outcome) = print::answer(&command, &answer, output).map_err(failed)?;
    if let (CtlCommand::Expose(args), Output::Table | Output::Wide) = (&command, output) {
        let exposed = print::read(&answer).map_err(failed)?;
        if let PerDatabase::One(exposed) = exposed {
            page.out += &try_it(&mut client, &exposed, args);
        }
    }
    write(&page.out)?;
    out::print_err(&page.err);
    Ok(match outcome {
        Outcome::Done => 0,
        Outcome::Missing => NOT_FOUND,
        Outcome::Different => DIFFERENT,
    })
}

fn write(text: &str) -> Result<(), Failure> {
    out::print(text).map_err(|e| Failure::new(REFUSED, format!("cannot write the answer: {e}")))
}

/// The line that tries a Postgres database just exposed, from this machine.
fn try_it(client: &mut Client, exposed: &ExposeAnswer, args: &ExposeArgs) -> String {
    if !exposed.changed || args.dry_run || !exposed.changes.is_empty() {
        return String::new();
    }
    let name = exposed.database.clone();
    let show = client.call::<ShowAnswer>("show", &params::ShowParams { name });
    let status = client.call::<StatusAnswer>("status", &params::NoParams {});
    match (show, status) {
        (Ok(show), Ok(status)) => print::try_it(exposed, args, &show.database, &status),
        // The exposure itself is done; another caller has changed it since.
        _ => String::new(),
    }
}

/// The reason for a change.
fn reason(command: &CtlCommand) -> Option<&str> {
    let why = match command {
        CtlCommand::Expose(args) => &args.why,
        CtlCommand::Hide(args) => &args.why,
        CtlCommand::Delete(args) => &args.why,
        CtlCommand::Drain(args) => &args.why,
        CtlCommand::Resume(args) => &args.why,
        CtlCommand::Kill { why, .. } | CtlCommand::Reload { why } => why,
        _ => return None,
    };
    why.reason.as_deref()
}

/// The request for a command: its name and parameters.
fn request(command: &CtlCommand) -> Result<(&'static str, Value), Failure> {
    let nothing = || params(&params::NoParams {});
    Ok(match command {
        CtlCommand::Expose(args) => ("expose", expose(args)?),
        CtlCommand::Hide(args) => ("hide", hide(args)?),
        CtlCommand::Delete(args) => {
            let delete = params::DeleteParams {
                name: Names(args.name.clone()),
                kill: args.kill,
                if_exists: args.if_exists,
                dry_run: args.dry_run,
            };
            ("delete", params(&delete)?)
        }
        CtlCommand::List { names } => {
            let names = names.clone();
            ("list", params(&params::ListParams { names })?)
        }
        CtlCommand::Show { name } => ("show", params(&params::ShowParams { name: name.clone() })?),
        CtlCommand::Explain {
            host,
            listener,
            client,
        } => {
            let explain = params::ExplainParams {
                host: host.clone(),
                listener: listener.clone(),
                client: *client,
            };
            ("explain", params(&explain)?)
        }
        CtlCommand::Sessions(args) => ("sessions", params(&sessions(args))?),
        CtlCommand::Rejects(args) => ("rejects", params(&rejects(args))?),
        CtlCommand::Kill { id, database, .. } => {
            let (ids, database) = (id.clone(), database.clone());
            ("kill", params(&params::KillParams { ids, database })?)
        }
        CtlCommand::Drain(args) => {
            let drain = params::DrainParams {
                name: Names(args.name.clone()),
                backend: args.backend.clone(),
                within_ms: args.within.map(millis),
                dry_run: args.dry_run,
            };
            ("drain", params(&drain)?)
        }
        CtlCommand::Resume(args) => {
            let resume = params::ResumeParams {
                name: Names(args.name.clone()),
                backend: args.backend.clone(),
                dry_run: args.dry_run,
            };
            ("resume", params(&resume)?)
        }
        CtlCommand::Status => ("status", nothing()?),
        CtlCommand::Reload { .. } => ("reload", nothing()?),
        CtlCommand::Diff => ("diff", nothing()?),
        CtlCommand::Export => ("export", nothing()?),
        CtlCommand::Events(args) => ("events", params(&events(args))?),
    })
}

fn sessions(args: &SessionsArgs) -> SessionsParams {
    SessionsParams {
        database: args.database().cloned(),
        client: args.client,
    }
}

fn rejects(args: &RejectsArgs) -> RejectsParams {
    RejectsParams {
        since_ms: args.since.map(millis),
        host: args.host.clone(),
        client: args.client,
        follow: args.follow,
    }
}

fn events(args: &EventsArgs) -> EventsParams {
    EventsParams {
        kinds: args.kinds.clone(),
        follow: args.follow,
    }
}

fn expose(args: &ExposeArgs) -> Result<Value, Failure> {
    params(&params::ExposeParams {
        name: Names(args.name.clone()),
        hosts: args.hosts.clone(),
        to: args.to.clone(),
        balance: args.balance,
        health: args.health.clone(),
        protocol: args.protocol,
        tls: args.tls,
        access: Access {
            allow: args.allow.clone(),
            deny: args.deny.clone(),
            networks: args.networks.clone(),
            enforce: args.enforce,
            max_sessions_per_ip: args.max_sessions_per_ip,
            rate: args.rate,
        },
        max_sessions: args.max_sessions,
        send_proxy: args.send_proxy,
        hold: Hold {
            hold: args.hold,
            hold_max: args.hold_max,
            wake: args.wake.clone().map(|http| Wake { http }),
        },
        client: ClientTls {
            cert: material(args.cert.as_deref())?,
            key: material(args.key.as_deref())?,
            client_ca: material(args.client_ca.as_deref())?,
            client_crl: material(args.client_crl.as_deref())?,
            client_names: args.client_names.clone(),
            client_user: args.client_user,
            ..ClientTls::default()
        },
        backend: BackendTls {
            backend_ca: material(args.backend_ca.as_deref())?,
            backend_name: args.backend_name.clone(),
            ..BackendTls::default()
        },
        ttl_ms: args.ttl.map(millis),
        ephemeral: args.ephemeral,
        replace: args.replace,
        dry_run: args.dry_run,
        check: !args.no_check,
    })
}

fn hide(args: &HideArgs) -> Result<Value, Failure> {
    params(&params::HideParams {
        name: Names(args.name.clone()),
        hosts: args.hosts.clone(),
        running: match (args.keep, args.kill) {
            (true, _) => RunningSessions::Keep,
            (_, true) => RunningSessions::Kill,
            _ => RunningSessions::Drain,
        },
        drain_ms: args.drain.map(millis),
        if_exists: args.if_exists,
        dry_run: args.dry_run,
    })
}

fn params(params: &impl Serialize) -> Result<Value, Failure> {
    // Only a path may not be text.
    serde_json::to_value(params).map_err(|e| Failure::new(USAGE, e.to_string()))
}

/// The gateway has another working directory than its caller.
fn absolute(path: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    path.map(|path| {
        std::path::absolute(path)
            .map_err(|e| Failure::new(USAGE, format!("{}: {e}", path.display())))
    })
    .transpose()
}

fn material(path: Option<&Path>) -> Result<Option<MaterialOrigin>, Failure> {
    Ok(absolute(path)?.map(MaterialOrigin::File))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
