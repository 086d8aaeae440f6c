//! 64-bit values in JSON.

use serde::Serializer;

/// 64-bit values are numbers up to 2^53 and `"0x..."` strings above, which every JSON reader keeps exact.
pub(super) fn number<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *value <= 1 << 53 {
        serializer.serialize_u64(*value)
    } else {
        serializer.serialize_str(&format!("{value:#x}"))
    }
}
