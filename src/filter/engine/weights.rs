//! Weights that are built in: compared with their SHA-256, unpacked once for the process, and shared.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use flate2::read::ZlibDecoder;
use sha2::{Digest, Sha256};

use super::super::FilterError;
use super::kernel::Layer;

static NSNET2: &[u8] = include_bytes!("../../../models/nsnet2-48k.weights");
const NSNET2_SHA256: &str = "a1e77a10a25e714d073d0dae1c7bfcb033870d83da4e673aa33a2341c689f59b";

/// The layers of `nsnet2`, as models/convert-nsnet2.py orders them.
pub fn nsnet2() -> Result<Arc<Vec<Layer>>, FilterError> {
    static LAYERS: LazyLock<Result<Arc<Vec<Layer>>, FilterError>> =
        LazyLock::new(|| load("nsnet2", NSNET2, NSNET2_SHA256).map(Arc::new));
    LAYERS.clone()
}

/// The layers in a file of weights whose hash is this one.
fn load(model: &'static str, packed: &[u8], sha256: &str) -> Result<Vec<Layer>, FilterError> {
    let wrong = |found: String, expected: String| FilterError::Weights {
        model,
        found,
        expected,
    };
    let found = hex(&Sha256::digest(packed));
    if found != sha256 {
        let sums = (format!("SHA-256 {found}"), format!("SHA-256 {sha256}"));
        return Err(wrong(sums.0, sums.1));
    }
    let mut data = Vec::new();
    ZlibDecoder::new(packed)
        .read_to_end(&mut data)
        .map_err(|error| wrong(error.to_string(), "a zlib stream".to_owned()))?;
    let (mut layers, mut rest) = (Vec::new(), data.as_slice());
    while !rest.is_empty() {
        let layer = layer(&mut rest);
        layers.push(layer.ok_or_else(|| {
            let found = format!("an end within layer {}", layers.len() + 1);
            wrong(found, "whole layers".to_owned())
        })?);
    }
    Ok(layers)
}

/// Takes one layer from the front.
fn layer(rest: &mut &[u8]) -> Option<Layer> {
    let (rows, columns) = (number(rest)?, number(rest)?);
    let (scales, bias) = (floats(rest, rows)?, floats(rest, rows)?);
    let weights = rest.split_off(..rows.checked_mul(columns)?)?;
    let weights = weights.iter().map(|byte| byte.cast_signed()).collect();
    Some(Layer::new(columns, scales, bias, weights))
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let bytes = rest.split_off(..4)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn floats(rest: &mut &[u8], count: usize) -> Option<Vec<f32>> {
    let bytes = rest.split_off(..count.checked_mul(4)?)?;
    let chunks = bytes.as_chunks().0;
    Some(chunks.iter().copied().map(f32::from_le_bytes).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_weights_are_refused_in_words() {
        let mut damaged = NSNET2.to_vec();
        damaged[1_000_000] ^= 1;
        let error = load("nsnet2", &damaged, NSNET2_SHA256)
            .unwrap_err()
            .to_string();
        assert!(error.contains("weights of nsnet2 are damaged"), "{error}");
        assert!(error.contains(NSNET2_SHA256), "{error}");
    }

    #[test]
    fn the_weights_of_nsnet2_are_there() {
        let shapes: Vec<_> = nsnet2().unwrap().iter().map(Layer::shape).collect();
        let expected = [
            (600, 513),
            (1800, 600),
            (1800, 600),
            (1800, 600),
            (1800, 600),
            (800, 600),
            (800, 800),
            (513, 800),
        ];
        assert_eq!(shapes, expected);
    }
}
