//! `dbgate ctl`: one command to a running gateway, and its answer as a table or JSON.

use std::process::ExitCode;

use anyhow::Result;
use dbgate::config::default_socket;
use dbgate::control::client::{Client, ClientError};
use dbgate::control::message::{self, ErrorKind};
use serde_json::json;

use crate::cli::{CtlArgs, CtlCommand};

pub fn run(args: CtlArgs) -> Result<ExitCode> {
    let path = args.socket.unwrap_or_else(default_socket);
    let mut client = Client::connect(&path)?;
    let (cmd, params) = match args.command {
        CtlCommand::Expose(e) => (
            "expose",
            json!(message::Expose {
                name: e.name,
                hosts: e.hosts,
                to: e.to,
                protocol: e.protocol,
                tls: e.tls,
                ..Default::default()
            }),
        ),
        CtlCommand::List => ("list", json!({})),
        CtlCommand::Sessions { database } => ("sessions", json!(message::Sessions { database })),
        CtlCommand::Status => ("status", json!({})),
        CtlCommand::Rejects => ("rejects", json!({})),
        _ => todo!(),
    };
    match client.call(cmd, &params) {
        Ok(answer) => println!("{answer:#}"),
        Err(ClientError::Command(e)) if e.kind == ErrorKind::Conflict => {
            eprintln!("{e}");
            return Ok(ExitCode::from(4));
        }
        Err(e) => return Err(e.into()),
    }
    Ok(ExitCode::SUCCESS)
}
