//! What wraps data keys, and choosing it by name.

use std::fmt;
use std::sync::Arc;

use crate::data_key::DataKey;
use crate::error::SealError;

/// A data key as it may lie anywhere: readable only with the key that wrapped it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wrapped {
    /// The key that wrapped it, with the version where it has versions.
    pub key_id: String,
    /// The wrapped key, in the form of that kind of key.
    pub bytes: Vec<u8>,
}

/// Whose data key it is. Bound to the wrapped key where the kind of key can bind something (the
/// label of RSA-OAEP, associated data of Vault, the encryption context of AWS KMS), and then shown
/// in the audit log of the service. Neither name is secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyContext<'a> {
    /// Name of the gateway.
    pub gateway: &'a str,
    /// Id of the session; empty for what concerns the gateway itself.
    pub session: &'a str,
}

impl KeyContext<'_> {
    /// One line of bytes for kinds of keys that bind bytes: fixed words, then each name after its
    /// length.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (gateway, session) = (self.gateway, self.session);
        let (long, short) = (gateway.len(), session.len());
        format!("narrows data key v1 {long}:{gateway} {short}:{session}").into_bytes()
    }
}

/// A key that the customer holds and that wraps data keys.
///
/// Implementations may wait for a service, with bounded time and tries. Implement no retry around
/// them.
pub trait KeyEncryption: Send + Sync {
    /// Names the key and, where configuration fixes it, its version. Stable, and not secret. Where
    /// a service picks the version, [`Wrapped::key_id`] is the longer name.
    fn id(&self) -> &str;

    /// Whether this key can unwrap what `key_id` wrapped.
    fn opens(&self, key_id: &str) -> bool {
        key_id == self.id()
    }

    /// Wraps a data key.
    ///
    /// # Errors
    ///
    /// Those of a service ([`SealError::Refused`], [`SealError::Unavailable`],
    /// [`SealError::Misanswered`]) or of the library.
    fn wrap(&self, key: &DataKey, context: &KeyContext<'_>) -> Result<Wrapped, SealError>;

    /// Unwraps a data key.
    ///
    /// # Errors
    ///
    /// [`SealError::NotUnwrapped`] if another key wrapped it, it is of another context or was
    /// changed; [`SealError::OnlySeals`] if this key cannot read; those of [`KeyEncryption::wrap`].
    fn unwrap(&self, wrapped: &Wrapped, context: &KeyContext<'_>) -> Result<DataKey, SealError>;
}

/// The key that wraps now, and those that wrapped before. To rotate: make the new key current, keep
/// the old one in `also`, [`SegmentKeys::rewraps`] what is stored, then drop the old one.
///
/// [`SegmentKeys::rewraps`]: crate::SegmentKeys::rewraps
#[derive(Clone)]
pub struct Keys {
    /// Wraps.
    pub current: Arc<dyn KeyEncryption>,
    /// Unwrap only, beside the current one: former keys, or the private key of a public one.
    pub also: Vec<Arc<dyn KeyEncryption>>,
}

impl Keys {
    /// Just one key.
    #[must_use]
    pub fn new(current: Arc<dyn KeyEncryption>) -> Self {
        Self { current, also: Vec::new() }
    }

    /// Wraps with the current key.
    ///
    /// # Errors
    ///
    /// Those of [`KeyEncryption::wrap`].
    pub fn wrap(&self, key: &DataKey, context: &KeyContext<'_>) -> Result<Wrapped, SealError> {
        self.current.wrap(key, context)
    }

    /// The id of what [`Keys::wrap`] makes now, with the version where a service picks it: a data
    /// key that is used for nothing is wrapped to learn it.
    ///
    /// # Errors
    ///
    /// Those of [`KeyEncryption::wrap`].
    pub fn newest(&self, context: &KeyContext<'_>) -> Result<String, SealError> {
        Ok(self.wrap(&DataKey::random()?, context)?.key_id)
    }

    /// Unwraps with the key that the wrapped one names.
    ///
    /// # Errors
    ///
    /// [`SealError::NoSuchKey`] if it is not here; [`SealError::OnlySeals`] if only its public half
    /// is; those of [`KeyEncryption::unwrap`].
    pub fn unwrap(
        &self,
        wrapped: &Wrapped,
        context: &KeyContext<'_>,
    ) -> Result<DataKey, SealError> {
        let mut failed = None;
        for key in self.all().filter(|key| key.opens(&wrapped.key_id)) {
            match key.unwrap(wrapped, context) {
                Ok(key) => return Ok(key),
                // Another key of that name may do: a private key beside its public one, or one
                // service reached with other credentials.
                Err(error) => {
                    failed = Some(failed.map_or(error.clone(), |first| sharper(first, error)))
                }
            }
        }
        Err(failed.unwrap_or_else(|| self.no_such(wrapped)))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn KeyEncryption>> {
        std::iter::once(&self.current).chain(&self.also)
    }

    fn no_such(&self, wrapped: &Wrapped) -> SealError {
        let at_hand: Vec<&str> = self.all().map(|key| key.id()).collect();
        SealError::NoSuchKey { key_id: wrapped.key_id.clone(), at_hand: at_hand.join(", ") }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(|key| key.id())).finish()
    }
}

/// The error that says more, of two keys that both failed.
fn sharper(first: SealError, second: SealError) -> SealError {
    if matches!(first, SealError::OnlySeals { .. }) { second } else { first }
}
