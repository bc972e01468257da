//! Changing bytes at random, the same in every run.

/// A generator of numbers
/// ([splitmix64](https://prng.di.unimi.it/splitmix64.c)), which is enough for choosing.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below a usize")
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Pieces that mean something to the reader.
#[derive(Debug)]
pub(crate) struct Words(Vec<Vec<u8>>);

/// Numbers at the ends of what readers count with.
const NUMBERS: [&str; 8] =
    ["0", "-1", "4294967296", "9223372036854775807", "18446744073709551615", "18446744073709551616", "1e400", "0.5"];
/// The longest input.
const LONGEST: usize = 64 * 1024;

impl Words {
    pub(crate) fn new(words: &[&str]) -> Self {
        Self(words.iter().map(|word| word.as_bytes().to_vec()).collect())
    }
}

/// One of `inputs`, changed in a few places; every second time one of the first `seeds`.
pub(crate) fn mutated(random: &mut Random, inputs: &[Vec<u8>], seeds: usize, words: &Words) -> Vec<u8> {
    let among = if random.below(2) == 0 { seeds } else { inputs.len() };
    let mut bytes = inputs[random.below(among)].clone();
    let times = 1 << random.below(5);
    for _ in 0..times {
        change(random, &mut bytes, inputs, words);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, inputs: &[Vec<u8>], words: &Words) {
    let at = random.below(bytes.len() + 1);
    let most = 1 << random.below(12);
    let end = at + random.below((bytes.len() - at).min(most) + 1);
    match random.below(10) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.byte(),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.extend_from_within(at..end),
        4 => {
            let word = &words.0[random.below(words.0.len())];
            insert(bytes, at, word);
        }
        5 => {
            let other = &inputs[random.below(inputs.len())];
            let from = random.below(other.len() + 1);
            let until = from + random.below(other.len() - from + 1);
            insert(bytes, at, &other[from..until]);
        }
        6 => number(random, bytes, at),
        7 => bytes.truncate(at),
        8 => {
            let noise: Vec<u8> = (0..random.below(16)).map(|_| random.byte()).collect();
            insert(bytes, at, &noise);
        }
        // Very deep, or very long.
        _ if random.below(20) == 0 => {
            let word = &words.0[random.below(words.0.len())];
            insert(bytes, at, &word.repeat(1 << random.below(12)));
        }
        _ => {
            let word = &words.0[random.below(words.0.len())];
            let end = (at + word.len()).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// Puts an interesting number in the place of the next one.
fn number(random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
    let Some(begin) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
    let length = bytes[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.splice(begin..begin + length, NUMBERS[random.below(NUMBERS.len())].bytes());
}
