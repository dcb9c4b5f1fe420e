//! A small database for the demo: it speaks Postgres, with TLS and without, and says its name.
//!
//! It keeps no data and asks for no password. The crate `pgwire` speaks the protocol once the
//! connection is made.
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol", Message Flow, SSL Session
//! Encryption.

use std::io::{self, Cursor};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use futures_util::stream;
use pgwire::api::auth::StartupHandler;
use pgwire::api::auth::noop::NoopStartupHandler;
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::{ClientInfo, PgWireServerHandlers, Type};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::tokio::process_socket_unix;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;

/// A client's request for TLS, or for GSSAPI encryption: a length of 8 and a number.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// The first byte of a TLS handshake; no Postgres message of less than 350 MiB begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// A database that runs until its tokio runtime ends.
pub(crate) struct Database {
    /// Its answer to `show cluster_name`.
    pub(crate) name: &'static str,
    /// Its address.
    pub(crate) addr: SocketAddr,
    /// Its certificate for those who connect with TLS.
    pub(crate) certificate: CertificateDer<'static>,
}

impl Database {
    /// Starts a database on a free port of this machine, with a certificate for `host`.
    ///
    /// # Errors
    /// No certificate can be made, or no port is to be had.
    pub(crate) async fn start(name: &'static str, host: &str) -> Result<Self> {
        let Certificate { cert, key, .. } = Certificate::new(&format!("demo {name}"), host)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.clone()], key)?;
        tls.alpn_protocols = vec![b"postgresql".to_vec()];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .with_context(|| format!("the database {name} gets no port"))?;
        let addr = listener.local_addr()?;
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), name));
        Ok(Self {
            name,
            addr,
            certificate: cert,
        })
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, name: &'static str) {
    while let Ok((tcp, _)) = listener.accept().await {
        // A connection that breaks concerns its client, who is told by its end.
        tokio::spawn(greet(tcp, tls.clone(), name));
    }
}

/// Finds out how the client wants to speak: plainly, with TLS asked for, or TLS at once.
async fn greet(mut tcp: TcpStream, tls: TlsAcceptor, name: &'static str) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut first = [0; 8];
    loop {
        // Whatever a client begins with, it is at least this long.
        tcp.read_exact(&mut first).await?;
        match first {
            GSSENC_REQUEST => tcp.write_all(b"N").await?,
            SSL_REQUEST => {
                tcp.write_all(b"S").await?;
                return converse(tls.accept(tcp).await?, name).await;
            }
            [TLS_HANDSHAKE, ..] => {
                return converse(tls.accept(unread(tcp, first)).await?, name).await;
            }
            _ => return converse(unread(tcp, first), name).await,
        }
    }
}

/// The connection as it was before `first` was read from it.
fn unread(tcp: TcpStream, first: [u8; 8]) -> impl AsyncRead + AsyncWrite + Unpin {
    let (reader, writer) = tcp.into_split();
    tokio::io::join(Cursor::new(first).chain(reader), writer)
}

/// Answers queries until the client leaves. `pgwire` takes no stream but a socket, so the
/// plaintext goes to it through a pair of them.
async fn converse(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    name: &'static str,
) -> io::Result<()> {
    let (mut near, far) = UnixStream::pair()?;
    tokio::try_join!(
        copy_bidirectional(&mut client, &mut near),
        process_socket_unix(far, Engine { name }),
    )?;
    Ok(())
}

/// The database that knows the answers.
#[derive(Clone, Copy)]
struct Engine {
    name: &'static str,
}

/// The outcome of a query.
enum Answer {
    /// One row of one column.
    Text(&'static str, String),
    Number(&'static str, i32),
    Begin,
    End(&'static str),
}

impl Engine {
    fn answer(self, query: &str) -> PgWireResult<Answer> {
        let query = query.trim_matches(|c: char| c.is_whitespace() || c == ';');
        match query.to_ascii_lowercase().as_str() {
            "show cluster_name" => Ok(Answer::Text("cluster_name", self.name.to_owned())),
            "select version()" => Ok(Answer::Text(
                "version",
                format!("{}, a database of the dbgate demo", self.name),
            )),
            "select 1" => Ok(Answer::Number("?column?", 1)),
            // Some drivers begin a transaction before anything else.
            "begin" => Ok(Answer::Begin),
            "commit" => Ok(Answer::End("COMMIT")),
            "rollback" => Ok(Answer::End("ROLLBACK")),
            _ => {
                let mut error = ErrorInfo::new(
                    "ERROR".to_owned(),
                    "0A000".to_owned(),
                    format!("{} is only a demo and cannot do that", self.name),
                );
                error.hint = Some(
                    "It answers: show cluster_name; select version(); select 1; begin; commit; rollback"
                        .to_owned(),
                );
                Err(PgWireError::UserError(Box::new(error)))
            }
        }
    }

    fn respond(self, query: &str, format: FieldFormat) -> PgWireResult<Response> {
        let answer = self.answer(query)?;
        let columns = Arc::new(answer.columns(format));
        let mut row = DataRowEncoder::new(columns.clone());
        match answer {
            Answer::Begin => return Ok(Response::TransactionStart(Tag::new("BEGIN"))),
            Answer::End(word) => return Ok(Response::TransactionEnd(Tag::new(word))),
            Answer::Text(_, text) => row.encode_field(&text)?,
            Answer::Number(_, number) => row.encode_field(&number)?,
        }
        let rows = stream::iter([Ok(row.take_row())]);
        Ok(Response::Query(QueryResponse::new(columns, rows)))
    }
}

impl Answer {
    fn columns(&self, format: FieldFormat) -> Vec<FieldInfo> {
        let (name, datatype) = match self {
            Self::Text(name, _) => (*name, Type::TEXT),
            Self::Number(name, _) => (*name, Type::INT4),
            Self::Begin | Self::End(_) => return Vec::new(),
        };
        vec![FieldInfo::new(
            name.to_owned(),
            None,
            None,
            datatype,
            format,
        )]
    }
}

impl PgWireServerHandlers for Engine {
    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(*self)
    }

    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::new(*self)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::new(*self)
    }
}

impl NoopStartupHandler for Engine {}

#[async_trait]
impl SimpleQueryHandler for Engine {
    async fn do_query<C>(&self, _client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        Ok(vec![self.respond(query, FieldFormat::Text)?])
    }
}

#[async_trait]
impl ExtendedQueryHandler for Engine {
    type Statement = String;
    type QueryParser = Self;

    fn query_parser(&self) -> Arc<Self> {
        Arc::new(*self)
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
        portal: &Portal<String>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let format = portal.result_column_format.format_for(0);
        self.respond(&portal.statement.statement, format)
    }
}

#[async_trait]
impl QueryParser for Engine {
    type Statement = String;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<String>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        Ok(Some(sql.to_owned()))
    }

    fn get_parameter_types(&self, _query: &String) -> PgWireResult<Vec<Type>> {
        Ok(Vec::new())
    }

    fn get_result_schema(
        &self,
        query: &String,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.map_or(FieldFormat::Text, |f| f.format_for(0));
        Ok(self.answer(query)?.columns(format))
    }
}
