//! Running a protocol's errand on an upstream connection of its own.

use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use engine::{Connected, Errand, ErrandAct, ErrandInput, ErrandOutbox};
use tokio::net::TcpStream;

use crate::transport::{Queue, Wire};
use crate::upstream::{Unreachable, Upstream};

/// Bytes an errand may make us send at once.
const SEND_BYTES_MAX: usize = model::limit::SEND_BUFFER_BYTES_MAX;

/// Why an errand failed; for the operator's log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrandError {
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("the upstream closed the connection")]
    Closed,
    #[error("the upstream broke the protocol: {0}")]
    Fault(&'static str),
    #[error("{what}{}", detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default())]
    Failed { what: &'static str, detail: Option<String> },
}

impl ErrandError {
    pub fn failed(what: &'static str) -> Self {
        Self::Failed { what, detail: None }
    }
}

/// Where an errand stands when it wants nothing from the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rest {
    /// It waits for a probe.
    Idle,
    /// It is complete.
    Done,
}

/// An errand and its connection.
pub(crate) struct Trip {
    upstream: Arc<Upstream>,
    errand: Box<dyn Errand<Bytes>>,
    wire: Option<Wire>,
    out: ErrandOutbox<Bytes>,
    queue: Queue,
    snapshot: Option<Arc<dyn Any + Send + Sync>>,
}

impl Trip {
    /// An errand about to begin on an open socket; feed it `Connected` next.
    pub fn new(upstream: Arc<Upstream>, errand: Box<dyn Errand<Bytes>>, stream: TcpStream) -> Self {
        let wire = Some(Wire::Plain(stream));
        let (out, queue) = (ErrandOutbox::default(), Queue::default());
        Self { upstream, errand, wire, out, queue, snapshot: None }
    }

    /// Begins and runs up to the first rest.
    pub async fn begin(&mut self, connected: Connected) -> Result<Rest, ErrandError> {
        self.run(ErrandInput::Connected(connected)).await
    }

    /// Feeds one input and goes on until the errand rests.
    pub async fn run(&mut self, input: ErrandInput<Bytes>) -> Result<Rest, ErrandError> {
        let mut input = input;
        loop {
            input = match self.step(input).await? {
                Step::Rest(rest) => return Ok(rest),
                Step::TlsStarted(next) => next,
                Step::More => ErrandInput::Data(self.read().await?),
            };
        }
    }

    /// The newest snapshot the errand made since the last call.
    pub fn take_snapshot(&mut self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.snapshot.take()
    }

    /// What the upstream says next. Cancelling this loses nothing.
    pub async fn read(&mut self) -> Result<Bytes, ErrandError> {
        let Some(wire) = &mut self.wire else { return Err(ErrandError::Closed) };
        let bytes = poll_fn(|cx| wire.poll_read(cx)).await?;
        if bytes.is_empty() { Err(ErrandError::Closed) } else { Ok(bytes) }
    }

    async fn step(&mut self, input: ErrandInput<Bytes>) -> Result<Step, ErrandError> {
        let handled = self.errand.handle(input, &mut self.out);
        let mut next = Step::More;
        let mut start_tls = false;
        for act in self.out.take() {
            match act {
                ErrandAct::Send(unit) => self.queue.push(unit),
                ErrandAct::StartTls => start_tls = true,
                ErrandAct::Snapshot(snapshot) => self.snapshot = Some(snapshot),
                ErrandAct::Idle => next = Step::Rest(Rest::Idle),
                ErrandAct::Done => next = Step::Rest(Rest::Done),
                ErrandAct::Failed(what, detail) => {
                    return Err(ErrandError::Failed { what, detail });
                }
            }
        }
        handled.map_err(|fault| ErrandError::Fault(fault.what))?;
        if self.queue.bytes() > SEND_BYTES_MAX {
            return Err(ErrandError::failed("it sends too much"));
        }
        self.flush().await?;
        if start_tls {
            let Some(Wire::Plain(stream)) = self.wire.take() else {
                return Err(ErrandError::failed("it starts TLS twice"));
            };
            let (wire, facts) = self.upstream.start_tls(stream).await?;
            self.wire = Some(wire);
            return Ok(Step::TlsStarted(ErrandInput::TlsStarted(facts)));
        }
        Ok(next)
    }

    async fn flush(&mut self) -> Result<(), ErrandError> {
        let Some(wire) = &mut self.wire else { return Err(ErrandError::Closed) };
        let queue = &mut self.queue;
        Ok(poll_fn(|cx| queue.poll_write(wire, cx)).await?)
    }
}

enum Step {
    Rest(Rest),
    TlsStarted(ErrandInput<Bytes>),
    More,
}
