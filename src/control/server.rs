//! The listening end of the control socket.
//!
//! A caller is known by its credentials from the kernel (`SO_PEERCRED`); who may connect is decided by the
//! socket's mode and group. Lines, answers waiting to be read, and callers are all bounded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, UCred};
use tokio::sync::{Mutex, broadcast, mpsc};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::answer::answer_line;
use super::caller::{self, Caller};
use super::controller::Controller;
use super::error::CommandError;
use super::events;
use super::params::{EventsParams, RejectsParams};
use super::request::{self, BadRequest, Command, MAX_LINE, Request};
use super::socket::{ControlSocket, Role};
use super::{readers, reads, watch};
use crate::author::Author;
use crate::gateway::Gateway;
use crate::stats::Event;

/// Lines that wait for a caller to read them; a caller that does not is not asked for more.
const MAX_QUEUED_LINES: usize = 64;

/// Subscriptions on one connection: each holds what its caller knows already.
const MAX_SUBSCRIPTIONS: usize = 8;

/// The log line about a caller that does not read.
const TAKES_NOTHING: &str =
    "hung up on a caller of the control socket that takes nothing of what it is sent";

/// Bounds of what callers may cost.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Time in which a caller has to take something of what it is sent.
    write_timeout: Duration,
    /// Rows that all `watch`es together may hold: each knows every database, some hundred bytes
    /// each.
    watched_rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            write_timeout: Duration::from_secs(10),
            watched_rows: 400_000,
        }
    }
}

/// `watch`es at a time, however many databases there are.
const MAX_WATCHES: std::ops::RangeInclusive<usize> = 4..=64;

/// Those that readers leave to operators.
const OPERATORS_WATCHES: usize = 2;

/// Callers of a socket at a time.
const MAX_CALLERS: usize = 256;

/// The socket that callers came by.
struct Door {
    role: Role,
    /// Held by a reader's `diff`, which reads files on the thread of changes.
    diffs: Mutex<()>,
}

/// Serves callers until it is dropped.
pub async fn serve(socket: ControlSocket, controller: Arc<Controller>) {
    serve_within(socket, controller, Limits::default()).await;
}

async fn serve_within(socket: ControlSocket, controller: Arc<Controller>, limits: Limits) {
    let callers = Arc::new(tokio::sync::Semaphore::new(MAX_CALLERS));
    let door = Arc::new(Door {
        role: socket.role,
        diffs: Mutex::const_new(()),
    });
    loop {
        let Ok(permit) = callers.clone().acquire_owned().await else {
            return;
        };
        match socket.listener.accept().await {
            Ok((stream, _)) => {
                let (controller, door) = (controller.clone(), door.clone());
                tokio::spawn(async move {
                    if let Err(error) = handle_connection(stream, controller, &door, limits).await {
                        debug!(%error, "control connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept on the control socket");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn handle_connection(
    stream: UnixStream,
    controller: Arc<Controller>,
    door: &Door,
    limits: Limits,
) -> io::Result<()> {
    let cred = stream.peer_cred()?;
    let (reader, writer) = stream.into_split();
    let (answers, waiting) = mpsc::channel(MAX_QUEUED_LINES);
    let mut write = tokio::spawn(write_lines(
        writer,
        waiting,
        caller::numbers(cred).to_string(),
        limits.write_timeout,
    ));
    tokio::select! {
        read = read_requests(reader, &controller, (cred, door), answers, limits) => {
            // The writer ends when everything that waits is written, or the caller is gone.
            let _ = write.await;
            read
        }
        // Answers are no longer taken: there is no use in further requests.
        _ = &mut write => Ok(()),
    }
}

async fn write_lines(
    mut writer: OwnedWriteHalf,
    mut lines: mpsc::Receiver<String>,
    who: String,
    write_timeout: Duration,
) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        let mut left = line.as_bytes();
        while !left.is_empty() {
            match timeout(write_timeout, writer.write(left)).await {
                Ok(Ok(written @ 1..)) => left = left.get(written..).unwrap_or_default(),
                Ok(_) => return,
                // There is no way to send a reason: the caller takes nothing.
                Err(_) => {
                    warn!(who, "{TAKES_NOTHING}");
                    return;
                }
            }
        }
    }
}

/// The error for a further `watch`, if there are too many.
fn too_many_watches(controller: &Controller, role: Role, limits: Limits) -> Option<CommandError> {
    let databases = controller.gateway().store.snapshot().databases.len();
    let most =
        (limits.watched_rows / databases.max(1)).clamp(*MAX_WATCHES.start(), *MAX_WATCHES.end());
    let most = match role {
        Role::Operator => most,
        Role::Reader => most - OPERATORS_WATCHES,
    };
    let now = Arc::strong_count(&controller.watches) - 1;
    (now >= most).then(|| {
        let text = format!(
            "{now} callers watch this gateway (`dbgate top`), which is the most beside {databases} databases"
        );
        CommandError::refused(text).hint("end one of them")
    })
}

async fn read_requests(
    reader: OwnedReadHalf,
    controller: &Arc<Controller>,
    (cred, door): (UCred, &Door),
    answers: mpsc::Sender<String>,
    limits: Limits,
) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    // Asked for with the first change.
    let mut author: Option<Author> = None;
    let mut line = Vec::new();
    // Subscriptions end with the caller's sending side: nothing else shows that it is gone while no
    // event happens, and each would hold a descriptor.
    let mut subscriptions = tokio::task::JoinSet::new();
    loop {
        line.clear();
        let limit = u64::try_from(MAX_LINE + 1).unwrap_or(u64::MAX);
        let read = (&mut reader)
            .take(limit)
            .read_until(b'\n', &mut line)
            .await?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && line.len() > MAX_LINE {
            let error = CommandError::usage("a request of more than 1 MiB");
            let _ = answers.send(answer_line(&Value::Null, &Err(error))).await;
            return Ok(());
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let Request {
            id,
            reason,
            command,
        } = match request::parse(line.trim_ascii()) {
            Ok(request) => request,
            Err(BadRequest { id, error }) => {
                if answers.send(answer_line(&id, &Err(error))).await.is_err() {
                    return Ok(());
                }
                continue;
            }
        };
        // From before the answer, so that no event is missed in between.
        let subscription = Subscription::to(&command, controller.gateway());
        let done = if subscription.is_some() && subscriptions.len() >= MAX_SUBSCRIPTIONS {
            let text = format!("at most {MAX_SUBSCRIPTIONS} subscriptions on one connection");
            Err(CommandError::refused(text))
        } else if matches!(subscription, Some(Subscription::Watch(_)))
            && let Some(error) = too_many_watches(controller, door.role, limits)
        {
            Err(error)
        } else {
            let mut by = match &author {
                Some(author) => author.clone(),
                None if command.is_change() => author.insert(caller::named(cred).await).clone(),
                None => caller::numbers(cred),
            };
            if let Some(reason) = &reason {
                by = by.because(reason);
            }
            match door.role {
                Role::Operator => controller.execute(command, &Caller::from(by)).await,
                Role::Reader if command.is_change() => {
                    warn!(target: "audit", who = %by, "{} refused: asked for on the read-only socket", command.name());
                    Err(readers::refusal())
                }
                Role::Reader => {
                    // A change waits for one of them at most.
                    let _turn = match command {
                        Command::Diff => Some(door.diffs.lock().await),
                        _ => None,
                    };
                    let done = controller.execute(command, &Caller::from(by)).await;
                    done.map(readers::shown)
                }
            }
        };
        let refused = done.is_err();
        if answers.send(answer_line(&id, &done)).await.is_err() {
            return Ok(());
        }
        if refused {
            continue;
        }
        let (gateway, answers) = (controller.gateway().clone(), answers.clone());
        match subscription {
            Some(Subscription::Events(asked, from)) => {
                subscriptions.spawn(events::serve(id, gateway, asked, from, answers));
            }
            Some(Subscription::Rejects(asked)) => {
                subscriptions.spawn(reads::follow_rejects(id, gateway, asked, answers));
            }
            Some(Subscription::Watch(interval)) => {
                let watch = watch::serve(id, gateway, interval, answers);
                let counted = controller.watches.clone();
                subscriptions.spawn(async move {
                    watch.await;
                    drop(counted);
                });
            }
            None => {}
        }
    }
}

/// Lines that go on after the answer.
enum Subscription {
    Events(EventsParams, (Vec<Event>, broadcast::Receiver<Event>)),
    Rejects(RejectsParams),
    Watch(Duration),
}

impl Subscription {
    /// The subscription that a command asks for.
    fn to(command: &Command, gateway: &Gateway) -> Option<Self> {
        match command {
            Command::Events(asked) if asked.follow => Some(Self::Events(
                asked.clone(),
                gateway.events.follow_with_changes(),
            )),
            Command::Rejects(asked) if asked.follow => Some(Self::Rejects(asked.clone())),
            Command::Watch(watch) => watch.interval().ok().map(Self::Watch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
