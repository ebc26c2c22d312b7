//! Connections to the database that gateways share. The driver is asynchronous and has a thread of
//! its own; whoever uses a [`Link`] waits on its own thread, for a bounded time.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::BytesMut;
use model::{Secret, Timestamp};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::value::{Row, Value};
use crate::state::StateError;

/// Longest time that one statement may take, and that a connection may take to open.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The server's own bounds, below ours, so that what is given up here is given up there.
const SETTINGS: &str = "SET search_path TO narrows, pg_catalog; SET statement_timeout TO '4s'; \
    SET lock_timeout TO '4s'; SET idle_in_transaction_session_timeout TO '10s'; \
    SET synchronous_commit TO on; SET client_min_messages TO warning; \
    SET default_transaction_isolation TO 'read committed'";
/// Statements prepared on one connection; the program has fewer.
const PREPARED_MAX: usize = 200;

/// Fetches the password anew for every connection.
pub type Password = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Secret<String>, String>> + Send>> + Send + Sync,
>;

/// Where the registry is that several gateways share.
#[derive(Clone)]
pub struct SharedOptions {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The role's password.
    pub password: Option<Password>,
    /// How the connection is protected; `None` is not at all.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// How long tokens are believed while the database cannot be reached.
    pub outlive: Duration,
    /// The one clock.
    pub clock: fn() -> Timestamp,
    /// The build, for those who look at the list of gateways.
    pub version: &'static str,
}

impl SharedOptions {
    /// Which database, in words without a secret.
    #[must_use]
    pub fn place(&self) -> String {
        let Self { host, port, database, user, .. } = self;
        format!("the state database postgres://{user}@{host}:{port}/{database}")
    }
}

impl fmt::Debug for SharedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

/// The thread that drives connections.
pub(super) struct Driver {
    runtime: Option<Runtime>,
}

impl Driver {
    pub fn start() -> Result<Self, StateError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name("narrows-state")
            .enable_all()
            .build()
            .map_err(|error| StateError::Content(format!("cannot start a thread: {error}")))?;
        Ok(Self { runtime: Some(runtime) })
    }

    pub fn handle(&self) -> Option<Handle> {
        self.runtime.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Not waited for: the last who drops it may be on a thread that must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How something ended that the database was asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// No answer, or none that could be had.
    Lost(String),
    /// The database said that another transaction came in between: the same again may do.
    Again(String),
    /// The database said no.
    Refused(String),
}

impl Fault {
    pub fn at(self, place: &str) -> StateError {
        let place = place.to_owned();
        match self {
            Self::Lost(why) | Self::Again(why) => StateError::Unreachable { place, why },
            Self::Refused(what) => StateError::Shared { place, what },
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let mut words = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                words = format!("{words}: {next}");
                cause = next.source();
            }
            return Self::Lost(words);
        };
        let words = format!("{} (SQLSTATE {})", said.message(), said.code().code());
        match said.code().code() {
            "40001" | "40P01" => Self::Again(words),
            // A timeout, a lock not had in time, a standby, no room for connections, shutting down.
            "57014" | "55P03" | "25006" | "25P03" => Self::Lost(words),
            code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
                Self::Lost(words)
            }
            _ => Self::Refused(words),
        }
    }
}

/// One connection, used by one thread at a time.
pub(super) struct Link {
    handle: Handle,
    /// None once an answer did not come in time: what became of it is not known.
    conn: Option<Conn>,
}

struct Conn {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
}

impl Link {
    /// Connects. `wake` is told of every notification, and dropped when the connection ends.
    pub fn open(
        handle: &Handle,
        options: &SharedOptions,
        wake: Option<Sender<()>>,
    ) -> Result<Self, Fault> {
        let options = options.clone();
        let conn = wait(handle, async move { connect(&options, wake).await })?;
        let client = conn?;
        let prepared = HashMap::new();
        let mut link = Self { handle: handle.clone(), conn: Some(Conn { client, prepared }) };
        link.batch(SETTINGS.to_owned())?;
        Ok(link)
    }

    pub fn is_open(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| !conn.client.is_closed())
    }

    /// Statements without parameters.
    pub fn batch(&mut self, sql: String) -> Result<(), Fault> {
        self.use_conn(move |conn| {
            Box::pin(async move {
                let done = conn.client.batch_execute(&sql).await;
                (conn, done.map_err(Fault::from))
            })
        })
    }

    pub fn run(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, Fault> {
        let values = values.to_vec();
        self.use_conn(move |mut conn| {
            Box::pin(async move {
                let done = conn.run(sql, &values).await;
                (conn, done)
            })
        })
    }

    pub fn rows(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, Fault> {
        let values = values.to_vec();
        self.use_conn(move |mut conn| {
            Box::pin(async move {
                let done = conn.rows(sql, &values).await;
                (conn, done)
            })
        })
    }

    fn use_conn<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(Conn) -> Pin<Box<dyn Future<Output = (Conn, Result<T, Fault>)> + Send>>,
    ) -> Result<T, Fault> {
        let Some(conn) = self.conn.take() else {
            return Err(Fault::Lost("the connection was lost".to_owned()));
        };
        let (conn, done) = wait(&self.handle, work(conn))?;
        self.conn = Some(conn);
        done
    }
}

impl Conn {
    async fn prepare(&mut self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(known) = self.prepared.get(sql) {
            return Ok(known.clone());
        }
        // Ours have no other question mark.
        let statement = self.client.prepare(&sql.replace('?', "$")).await?;
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    async fn run(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, Fault> {
        let statement = self.prepare(sql).await?;
        Ok(self.client.execute_raw(&statement, values).await?)
    }

    async fn rows(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, Fault> {
        let statement = self.prepare(sql).await?;
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let rows = self.client.query(&statement, &values).await?;
        rows.iter().map(row).collect()
    }
}

fn row(row: &tokio_postgres::Row) -> Result<Row, Fault> {
    let cells = row.columns().iter().enumerate().map(|(at, column)| {
        Ok(match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(at)?.map_or(Value::Null, Value::Int),
            Type::BOOL => {
                let flag = row.try_get::<_, Option<bool>>(at)?;
                flag.map_or(Value::Null, |flag| Value::Int(flag.into()))
            }
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(at)?.map_or(Value::Null, Value::Bytes),
            _ => row.try_get::<_, Option<String>>(at)?.map_or(Value::Null, Value::Text),
        })
    });
    cells.collect::<Result<Vec<_>, tokio_postgres::Error>>().map(Row::new).map_err(Fault::from)
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Waits for the driver's thread.
fn wait<T: Send + 'static>(
    handle: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Fault> {
    let (tell, heard) = channel();
    let task = handle.spawn(async move {
        // Nobody who waits any more is no fault.
        let _ = tell.send(work.await);
    });
    heard.recv_timeout(PATIENCE).map_err(|_| {
        task.abort();
        Fault::Lost(format!("no answer within {} s", PATIENCE.as_secs()))
    })
}

async fn connect(options: &SharedOptions, wake: Option<Sender<()>>) -> Result<Client, Fault> {
    let mut config = Config::new();
    config
        .host(&options.host)
        .port(options.port)
        .user(&options.user)
        .dbname(&options.database)
        .application_name("narrows")
        .connect_timeout(PATIENCE)
        .keepalives_idle(Duration::from_secs(10))
        .tcp_user_timeout(Duration::from_secs(10));
    if let Some(password) = &options.password {
        let password = password().await.map_err(Fault::Lost)?;
        config.password(password.expose());
    }
    match &options.tls {
        None => {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(drive(connection, wake));
            Ok(client)
        }
        Some(tls) => {
            config.ssl_mode(SslMode::Require);
            let tls = MakeRustlsConnect::new((**tls).clone());
            let (client, connection) = config.connect(tls).await?;
            tokio::spawn(drive(connection, wake));
            Ok(client)
        }
    }
}

async fn drive<S, T>(mut connection: Connection<S, T>, wake: Option<Sender<()>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let (AsyncMessage::Notification(_), Some(wake)) = (&message, &wake) {
            // The one who listens may be gone.
            let _ = wake.send(());
        }
    }
}
