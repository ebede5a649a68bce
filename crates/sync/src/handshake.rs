//! The handshake: mutual proof of keys, bound to one transcript.
//!
//! ```text
//!     caller                                answerer
//!     Hello   versions, workspace, key, nonce  ->      cheap checks: version, workspace, key, load
//!             <-  Welcome  version, key, nonce, signature over both messages
//!     Proof   signature over both messages     ->
//! ```
//!
//! The caller goes on at once after its proof. An answerer that does not want to go on says so instead of its welcome, in
//! a sentence for people and with a time to come back.

use crate::error::{Code, SessionError};
use crate::limits::{MAX_HANDSHAKE_BYTES, MAX_TEXT_BYTES, MIN_WINDOW_BYTES, Tier, VERSION};
use changeset::cbor::{Reader, Writer};
use changeset::hash::{CONTEXT_HELLO, CONTEXT_PROOF, CONTEXT_SESSION, statement};
use changeset::{Fault, PublicKey, Signature, Signer, WorkspaceId};

const HELLO: u8 = 16;
const WELCOME: u8 = 17;
const PROOF: u8 = 18;
const REFUSAL: u8 = 19;
const MAGIC: &str = "fieldbook";

/// What both sides know of each other after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    pub(crate) session: [u8; 32],
    pub(crate) workspace: WorkspaceId,
    pub(crate) peer: PublicKey,
    pub(crate) tier: Tier,
    /// How many bytes may be in flight to the peer.
    pub(crate) window: u64,
}

/// The caller, after its hello.
#[derive(Debug)]
pub(crate) struct Calling {
    hello: Vec<u8>,
    workspace: WorkspaceId,
    expected: Option<PublicKey>,
}

impl Calling {
    /// Begins; gives the frame to send.
    pub(crate) fn begin(
        key: &PublicKey,
        workspace: WorkspaceId,
        expected: Option<PublicKey>,
        tier: Tier,
        window: u64,
        nonce: [u8; 32],
    ) -> (Self, Vec<u8>) {
        let mut out = Writer::with_capacity(192);
        out.array(8);
        out.text(MAGIC);
        out.uint(VERSION);
        out.uint(VERSION);
        out.bytes(workspace.as_bytes());
        out.bytes(key.as_bytes());
        out.bytes(&nonce);
        out.uint(tier.code());
        out.uint(window);
        let frame = framed(HELLO, &out.into_bytes());
        (Self { hello: frame.clone(), workspace, expected }, frame)
    }

    /// Takes the answer; gives the proof to send.
    pub(crate) fn handle(self, bytes: &[u8], signer: &dyn Signer) -> Result<(Met, Vec<u8>), SessionError> {
        let (kind, rest) = split(bytes)?;
        if kind == REFUSAL {
            return Err(read_refusal(rest)?);
        }
        if kind != WELCOME {
            return Err(SessionError::Protocol("no welcome after the hello"));
        }
        let mut reader = Reader::new(rest, "welcome");
        reader.array_of(2)?;
        let from = reader.position();
        reader.array_of(5)?;
        let version = reader.uint(u64::MAX)?;
        if version != VERSION {
            return Err(SessionError::Version { min: version, max: version, own: VERSION });
        }
        let peer = PublicKey::from_bytes(reader.fixed()?);
        let _nonce: [u8; 32] = reader.fixed()?;
        let (tier, window) = read_offer(&mut reader)?;
        let content = reader.slice(from, reader.position());
        let signature = Signature::from_bytes(reader.fixed()?);
        reader.finish()?;
        if self.expected.is_some_and(|expected| expected != peer) {
            return Err(SessionError::WrongPeer);
        }
        let transcript = [self.hello.as_slice(), content].concat();
        if !peer.has_signed(&statement(CONTEXT_HELLO, &transcript), &signature) {
            return Err(SessionError::Forged("welcome"));
        }
        let proof = signer.sign(&statement(CONTEXT_PROOF, &transcript))?;
        let mut out = Writer::new();
        out.bytes(proof.as_bytes());
        let session = statement(CONTEXT_SESSION, &transcript);
        Ok((Met { session, workspace: self.workspace, peer, tier, window }, framed(PROOF, &out.into_bytes())))
    }
}

/// A hello, before anything was decided: what cheap checks may look at.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    hello: Vec<u8>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) peer: PublicKey,
    pub(crate) tier: Tier,
    window: u64,
}

impl Heard {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, SessionError> {
        let (kind, rest) = split(bytes)?;
        if kind != HELLO {
            return Err(SessionError::Protocol("no hello at the start"));
        }
        let mut reader = Reader::new(rest, "hello");
        let items = reader.array(64)?;
        let at = reader.position();
        if reader.text(MAGIC.len())? != MAGIC {
            return Err(reader.fault_at(at, Fault::Expected("the word fieldbook")).into());
        }
        let (min, max) = (reader.uint(u64::MAX)?, reader.uint(u64::MAX)?);
        if min > VERSION || max < VERSION {
            return Err(SessionError::Version { min, max, own: VERSION });
        }
        if items != 8 {
            return Err(reader.fault_at(0, Fault::WrongLength { wanted: 8 }).into());
        }
        let workspace = WorkspaceId::from_bytes(reader.fixed()?);
        let peer = PublicKey::from_bytes(reader.fixed()?);
        let _nonce: [u8; 32] = reader.fixed()?;
        let (tier, window) = read_offer(&mut reader)?;
        reader.finish()?;
        Ok(Self { hello: bytes.to_vec(), workspace, peer, tier, window })
    }

    /// Goes on; gives the frame to send.
    pub(crate) fn welcome(
        self,
        signer: &dyn Signer,
        tier: Tier,
        window: u64,
        nonce: [u8; 32],
    ) -> Result<(Answering, Vec<u8>), SessionError> {
        let mut content = Writer::with_capacity(128);
        content.array(5);
        content.uint(VERSION);
        content.bytes(signer.public_key().as_bytes());
        content.bytes(&nonce);
        content.uint(tier.code());
        content.uint(window);
        let content = content.into_bytes();
        let transcript = [self.hello.as_slice(), &content].concat();
        let signature = signer.sign(&statement(CONTEXT_HELLO, &transcript))?;
        let mut out = Writer::with_capacity(256);
        out.array(2);
        out.raw(&content);
        out.bytes(signature.as_bytes());
        let met = Met {
            session: statement(CONTEXT_SESSION, &transcript),
            workspace: self.workspace,
            peer: self.peer,
            tier: self.tier,
            window: self.window,
        };
        Ok((Answering { proof: statement(CONTEXT_PROOF, &transcript), met }, framed(WELCOME, &out.into_bytes())))
    }
}

/// The answerer, after its welcome.
#[derive(Debug)]
pub(crate) struct Answering {
    proof: [u8; 32],
    met: Met,
}

impl Answering {
    pub(crate) fn handle(self, bytes: &[u8]) -> Result<Met, SessionError> {
        let (kind, rest) = split(bytes)?;
        if kind != PROOF {
            return Err(SessionError::Protocol("no proof after the welcome"));
        }
        let mut reader = Reader::new(rest, "proof");
        let signature = Signature::from_bytes(reader.fixed()?);
        reader.finish()?;
        if self.met.peer.has_signed(&self.proof, &signature) {
            Ok(self.met)
        } else {
            Err(SessionError::Forged("proof of its key"))
        }
    }
}

/// What is sent instead of a welcome: `19 ‖ [code, text, milliseconds to wait | null]`. It proves nothing, and the caller
/// believes it only as far as trying again.
pub(crate) fn refusal(code: Code, text: &str, retry_after_ms: Option<u64>) -> Vec<u8> {
    let mut out = Writer::with_capacity(64 + text.len());
    out.array(3);
    out.uint(code.0);
    out.text(shortened(text));
    match retry_after_ms {
        None => out.null(),
        Some(wait) => out.uint(wait),
    }
    framed(REFUSAL, &out.into_bytes())
}

/// As much of a text as a message holds.
pub(crate) fn shortened(text: &str) -> &str {
    shortened_to(text, MAX_TEXT_BYTES)
}

/// At most so many bytes of a text, in whole characters.
pub(crate) fn shortened_to(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn read_refusal(bytes: &[u8]) -> Result<SessionError, SessionError> {
    let mut reader = Reader::new(bytes, "refusal");
    reader.array_of(3)?;
    let code = Code(reader.uint(u64::MAX)?);
    let text = reader.text(MAX_TEXT_BYTES)?.to_owned();
    let retry_after_ms = if reader.null() { None } else { Some(reader.uint(u64::MAX)?) };
    reader.finish()?;
    Ok(SessionError::Closed { code, text, retry_after_ms })
}

fn read_offer(reader: &mut Reader<'_>) -> Result<(Tier, u64), SessionError> {
    let at = reader.position();
    let code = reader.uint(u64::MAX)?;
    let tier = Tier::from_code(code).ok_or_else(|| reader.fault_at(at, Fault::UnknownCode(code)))?;
    let at = reader.position();
    let window = reader.uint(u64::MAX)?;
    if window < MIN_WINDOW_BYTES {
        return Err(reader.fault_at(at, Fault::Expected("a window of 64 KiB or more")).into());
    }
    Ok((tier, window))
}

fn framed(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(content.len() + 1);
    frame.push(kind);
    frame.extend(content);
    frame
}

fn split(bytes: &[u8]) -> Result<(u8, &[u8]), SessionError> {
    if bytes.len() > MAX_HANDSHAKE_BYTES {
        return Err(SessionError::TooLarge { bytes: bytes.len(), limit: MAX_HANDSHAKE_BYTES });
    }
    match bytes.split_first() {
        Some((kind, rest)) => Ok((*kind, rest)),
        None => Err(SessionError::Protocol("an empty frame")),
    }
}
