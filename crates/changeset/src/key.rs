//! Device keys: signing through a trait, so that a key can live in hardware, and strict verification.

use crate::error::VerifyError;
use crate::id::{ChangeSetId, PublicKey};
use core::fmt;
use ed25519_dalek::{Signature as DalekSignature, Signer as _, SigningKey, VerifyingKey};

/// An ed25519 signature over a hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// The signature with these bytes; whether it holds is seen only by verifying it.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Signature({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Why a [`Signer`] could not sign, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("the device key could not sign")]
pub struct SignError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A device key. Everything that it signs is a blake3 output under a context of its own ([`crate::hash`]), so it never
/// signs bytes that a peer chose.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public key.
    fn public_key(&self) -> PublicKey;

    /// Signs a hash: a change set's id, or a statement of [`crate::hash`].
    ///
    /// # Errors
    /// [`SignError`] if the hardware or its owner refuses; nothing was recorded then.
    fn sign(&self, hash: &[u8; 32]) -> Result<Signature, SignError>;
}

/// A device key held in memory. The secret is wiped when it is dropped.
#[derive(Clone)]
pub struct DeviceKey(SigningKey);

impl DeviceKey {
    /// The key with this secret: 32 bytes from a secure random source.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The secret, for writing it to protected storage.
    pub fn to_secret(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.public_key().short())
    }
}

impl Signer for DeviceKey {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, hash: &[u8; 32]) -> Result<Signature, SignError> {
        Ok(Signature(self.0.sign(hash).to_bytes()))
    }
}

impl PublicKey {
    /// Whether `signature` is this key's over a statement of [`crate::hash`]. Strict; 40 µs. A key that is no curve point
    /// or a weak one signed nothing.
    pub fn has_signed(&self, statement: &[u8; 32], signature: &Signature) -> bool {
        Verifier::new(self).is_ok_and(|key| key.has_signed(statement, signature))
    }
}

/// A public key that was decompressed once (3.6 µs) to check many signatures (37 µs each).
#[derive(Clone, Debug)]
pub(crate) struct Verifier(VerifyingKey);

impl Verifier {
    /// # Errors
    /// [`VerifyError::BadKey`] if the bytes are no curve point or one of small order, which `verify_strict` would
    /// refuse with every signature.
    pub(crate) fn new(key: &PublicKey) -> Result<Self, VerifyError> {
        match VerifyingKey::from_bytes(key.as_bytes()) {
            Ok(key) if !key.is_weak() => Ok(Self(key)),
            _ => Err(VerifyError::BadKey(key.to_string())),
        }
    }

    /// Strict verification: batch verification accepts what strict verification refuses, so replicas could disagree.
    ///
    /// # Errors
    /// [`VerifyError::BadSignature`].
    pub(crate) fn verify(&self, id: ChangeSetId, signature: &Signature) -> Result<(), VerifyError> {
        if self.has_signed(id.as_bytes(), signature) { Ok(()) } else { Err(VerifyError::BadSignature { id }) }
    }

    fn has_signed(&self, hash: &[u8; 32], signature: &Signature) -> bool {
        self.0.verify_strict(hash, &DalekSignature::from_bytes(&signature.0)).is_ok()
    }
}
