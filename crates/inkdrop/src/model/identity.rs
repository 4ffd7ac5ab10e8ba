//! Identity of a model, independent of its file name.

use inkdrop_checkpoint::StateDict;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Model;
use crate::Result;

impl Model {
    /// Network, process, contexts and a hash of the weights, as JSON.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn identity(&self) -> Result<Value> {
        Ok(json!({
            "network": self.metadata.model,
            "process": self.metadata.process,
            "contexts": self.metadata.contexts,
            "weights": hash(&self.weights)?,
        }))
    }
}

/// SHA-256 of byte strings, each preceded by its length.
pub fn sha256(pieces: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update((piece.len() as u64).to_le_bytes());
        hash.update(piece);
    }
    named(hash)
}

/// SHA-256 of all tensors in the order of their names: name, dtype, shape and values.
fn hash(weights: &StateDict) -> Result<String> {
    let mut hash = Sha256::new();
    let mut bytes = Vec::new();
    for (name, tensor) in weights.iter() {
        let kind = weights.stored_kind(name).unwrap_or(tensor.kind());
        hash.update(format!("{name} {kind:?} {:?}\n", tensor.size()));
        let flat = tensor.f_to_kind(kind)?.f_contiguous()?;
        bytes.resize(flat.numel() * flat.kind().elt_size_in_bytes(), 0);
        flat.f_copy_data_u8(&mut bytes, flat.numel())?;
        hash.update(&bytes);
    }
    Ok(named(hash))
}

fn named(hash: Sha256) -> String {
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}
