//! A change on its way through the writer's queue.

use std::marker::PhantomData;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::connection::Connection;
use super::error::DatabaseError;

/// A change in the queue.
pub(super) trait Change: Send {
    /// Whether nobody waits for the result any more.
    fn is_abandoned(&self) -> bool;
    /// Runs it inside the transaction.
    fn apply(self: Box<Self>, connection: &mut Connection) -> LocalBoxFuture<'_, Applied>;
    /// Answers without running it.
    fn refuse(self: Box<Self>, error: DatabaseError);
}

/// A change that has run, and how to answer once it is known whether it is committed.
pub(super) struct Applied {
    pub(super) accepted: bool,
    pub(super) answer: Box<dyn FnOnce(Result<(), DatabaseError>)>,
}

/// Who learns how a change ended.
pub(super) trait Answer<R>: Send + 'static {
    /// Whether nobody does any more.
    fn is_abandoned(&self) -> bool;
    /// Tells it.
    fn tell(self, result: R);
}

impl<R: Send + 'static> Answer<R> for oneshot::Sender<R> {
    fn is_abandoned(&self) -> bool {
        self.is_closed()
    }

    fn tell(self, result: R) {
        // A caller that gave up does not learn the result.
        let _ = self.send(result);
    }
}

/// A closure that takes the result, whoever still waits.
pub(super) struct Told<A>(pub(super) A);

impl<R, A: FnOnce(R) + Send + 'static> Answer<R> for Told<A> {
    fn is_abandoned(&self) -> bool {
        false
    }

    fn tell(self, result: R) {
        (self.0)(result);
    }
}

/// A change that runs a closure.
pub(super) struct TypedChange<F, A, R> {
    work: F,
    answer: A,
    result: PhantomData<fn() -> R>,
}

impl<F, A, R> TypedChange<F, A, R> {
    pub(super) fn new(work: F, answer: A) -> Self {
        Self { work, answer, result: PhantomData }
    }
}

impl<F, A, T, E> Change for TypedChange<F, A, Result<T, E>>
where
    F: AsyncFnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    A: Answer<Result<T, E>>,
    T: Send + 'static,
    E: From<DatabaseError> + Send + 'static,
{
    fn is_abandoned(&self) -> bool {
        self.answer.is_abandoned()
    }

    fn apply(self: Box<Self>, connection: &mut Connection) -> LocalBoxFuture<'_, Applied> {
        async move {
            let Self { work, answer, .. } = *self;
            let result = work(connection).await;
            let accepted = result.is_ok();
            let answer = Box::new(move |committed: Result<(), DatabaseError>| {
                answer.tell(committed.map_err(E::from).and(result));
            });
            Applied { accepted, answer }
        }
        .boxed_local()
    }

    fn refuse(self: Box<Self>, error: DatabaseError) {
        self.answer.tell(Err(error.into()));
    }
}
