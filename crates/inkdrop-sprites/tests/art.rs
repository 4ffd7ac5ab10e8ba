//! The sprites are those of every release.

use inkdrop_sprites::sprite;
use sha2::{Digest, Sha256};

#[test]
fn the_first_65536_sprites_never_change() {
    let mut hash = Sha256::new();
    for index in 0..65_536 {
        hash.update(sprite(0, index).pixels);
    }
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digits, "55afaba1fbd9fe9a647ae04d0fa7a151849e558d00286313f14cacf3ad9da6b5");
}
