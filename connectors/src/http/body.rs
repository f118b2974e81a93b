//! The body of a request: received within bounds of size and time, and decompressed within the same size.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use tokio::time::timeout;

use super::refusal::Refusal;
use super::space::Space;

/// How long a body may take: whoever sends more slowly than the largest body in this time sends smaller ones.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the rest of a refused body may take.
const PASSING: Duration = Duration::from_secs(2);

/// Decompressed at a time.
const PIECE: usize = 64 << 10;

/// The window is memory as well: 8 MB, as RFC 9659 has it for this encoding.
const WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Encoding {
    /// What the headers say.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => "",
            (Some(one), None) => one.to_str().unwrap_or("?").trim(),
            (Some(_), Some(_)) => "?",
        };
        match value.to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Plain),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Refusal::Type("compress by gzip or zstd, once, or not at all".to_string())),
        }
    }
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Incoming {
    pieces: BodyDataStream,
    /// True while its client waits to be told to send it (RFC 9110, section 10.1.1): looking for the first piece does that.
    waits: bool,
}

impl Incoming {
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Self {
        Self { pieces: body.into_data_stream(), waits: headers.contains_key(header::EXPECT) }
    }

    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        self.waits = false;
        self.pieces.next().await
    }
}

/// Receives a body of at most `max` bytes into `space`.
pub(super) async fn receive(
    headers: &HeaderMap,
    body: &mut Incoming,
    max: usize,
    space: &mut Space,
) -> Result<Vec<u8>, Refusal> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max as u64) {
        return Err(too_large(max));
    }
    let receiving = async {
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            // The client went away, or broke the protocol; it hardly hears this.
            let piece = piece.map_err(|_| Refusal::Broken("the body broke off".to_string()))?;
            if bytes.len() + piece.len() > max {
                return Err(too_large(max));
            }
            space.grow(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    timeout(PATIENCE, receiving).await.unwrap_or(Err(Refusal::Slow))
}

/// Lets what is left of a refused body pass by, up to `most` bytes: a client that is still sending when the connection
/// closes would not see the answer. One that waits to be asked for its body is not asked.
pub(super) async fn pass_by(body: &mut Incoming, most: usize) {
    if body.waits {
        return;
    }
    let passing = async {
        let mut passed = 0;
        while let Some(Ok(piece)) = body.next().await {
            passed += piece.len();
            if passed > most {
                return;
            }
        }
    };
    // One that takes longer is not waited for.
    let _ = timeout(PASSING, passing).await;
}

/// Decompresses to at most `max` bytes, which take the place of `body` in `space`.
pub(super) fn decompress(body: Vec<u8>, encoding: Encoding, max: usize, space: &mut Space) -> Result<Vec<u8>, Refusal> {
    let plain = match encoding {
        Encoding::Plain => return Ok(body),
        Encoding::Gzip => unpack(MultiGzDecoder::new(body.as_slice()), "gzip", max, space)?,
        Encoding::Zstd => {
            let broken = |error| broken("zstd", &error);
            let mut decoder = zstd::Decoder::with_buffer(body.as_slice()).map_err(broken)?;
            decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
            unpack(decoder, "zstd", max, space)?
        }
    };
    space.shrink(body.len());
    Ok(plain)
}

fn unpack(mut packed: impl Read, name: &str, max: usize, space: &mut Space) -> Result<Vec<u8>, Refusal> {
    let mut plain = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        let bytes = packed.read(&mut piece).map_err(|error| broken(name, &error))?;
        if bytes == 0 {
            return Ok(plain);
        }
        if plain.len() + bytes > max {
            return Err(too_large(max));
        }
        space.grow(bytes)?;
        plain.extend_from_slice(&piece[..bytes]);
    }
}

fn broken(name: &str, error: &std::io::Error) -> Refusal {
    Refusal::Broken(format!("the body is not {name}, or is cut off: {error}"))
}

fn too_large(max: usize) -> Refusal {
    Refusal::TooLarge(format!("a body has at most {max} bytes, decompressed ones too; send several"))
}
