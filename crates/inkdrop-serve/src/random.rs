//! Random numbers of the system.

/// 128 random bits, in hexadecimal.
///
/// # Panics
/// The system has no random numbers.
pub fn random_hex() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A random seed of 32 bits.
pub fn random_seed() -> u64 {
    getrandom::u32().unwrap_or_default().into()
}
