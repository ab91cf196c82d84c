//! Ids that look like AWS's own and are the same in every run.
//!
//! A seed comes in; event ids, request ids, EC2 ids and grant ids come out, in the order of the calls.

/// A source of ids.
#[derive(Clone, Debug)]
pub struct Ids {
    state: u64,
}

impl Ids {
    /// Starts a sequence; the same seed always gives the same ids.
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d }
    }

    /// The next 64 bits (splitmix64).
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// `digits` hexadecimal digits, at most 16.
    fn hex_word(&mut self, digits: usize) -> String {
        let text = format!("{:016x}", self.bits());
        text[..digits].to_owned()
    }

    /// A version 4 UUID: request ids, and the event ids of most services.
    pub fn uuid(&mut self) -> String {
        self.uuid_of_version('4')
    }

    /// A version 3 UUID: the event ids of KMS events that EC2 causes.
    pub fn service_uuid(&mut self) -> String {
        self.uuid_of_version('3')
    }

    fn uuid_of_version(&mut self, version: char) -> String {
        let (one, two) = (self.hex_word(16), self.hex_word(16));
        let variant = ['8', '9', 'a', 'b'][usize::from(two.as_bytes()[0]) % 4];
        format!(
            "{}-{}-{version}{}-{variant}{}-{}",
            &one[..8],
            &one[8..12],
            &one[13..16],
            &two[1..4],
            &two[4..16]
        )
    }

    /// An EC2 id such as `vol-0fe9a4da833a65032`.
    pub fn ec2(&mut self, prefix: &str) -> String {
        format!("{prefix}-0{}", self.hex_word(16))
    }

    /// A grant id or key material id: 64 hexadecimal digits.
    pub fn long_hex(&mut self) -> String {
        (0..4).map(|_| self.hex_word(16)).collect()
    }

    /// `length` capital letters and digits, as in `AROA…` and `ASIA…`.
    pub fn capitals(&mut self, length: usize) -> String {
        self.letters(length, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    }

    /// The 16 characters at the end of a log file's name.
    pub fn file_suffix(&mut self) -> String {
        self.letters(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    }

    fn letters(&mut self, length: usize, alphabet: &[u8]) -> String {
        (0..length)
            .map(|_| {
                let index = self.below(alphabet.len() as u64);
                char::from(alphabet[usize::try_from(index).expect("an alphabet is short")])
            })
            .collect()
    }
}
