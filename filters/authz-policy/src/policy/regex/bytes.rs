//! Sets of bytes, the letters of an expression's alphabet.

/// What an expression reads at one place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    /// This byte.
    Byte(u8),
    /// A line feed, read as something that a dot takes too.
    LooseLineFeed,
}

/// How many symbols there are.
pub(super) const SYMBOLS: usize = 257;

impl Symbol {
    pub(super) fn number(self) -> usize {
        match self {
            Self::Byte(byte) => usize::from(byte),
            Self::LooseLineFeed => SYMBOLS - 1,
        }
    }

    pub(super) fn numbered(number: usize) -> Self {
        u8::try_from(number).map_or(Self::LooseLineFeed, Self::Byte)
    }
}

/// A set of symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ByteSet {
    bits: [u64; 4],
    loose_line_feed: bool,
}

impl ByteSet {
    /// What a dot takes: any byte, a line feed only when it is read loosely.
    pub(super) const DOT: Self = Self {
        bits: [!(1 << b'\n'), u64::MAX, u64::MAX, u64::MAX],
        loose_line_feed: true,
    };

    pub(super) const fn byte(byte: u8) -> Self {
        Self::EMPTY.with(byte, byte)
    }

    const EMPTY: Self = Self {
        bits: [0; 4],
        loose_line_feed: false,
    };

    /// With the bytes from `low` to `high`, both included.
    #[allow(clippy::indexing_slicing)] // a quarter of a byte is less than four
    pub(super) const fn with(mut self, low: u8, high: u8) -> Self {
        let mut at = low as usize;
        while at <= high as usize {
            self.bits[at >> 6] |= 1 << (at & 63);
            at += 1;
        }
        self.loose_line_feed = self.contains_byte(b'\n');
        self
    }

    /// The bytes of these inclusive ranges.
    pub(super) fn of(ranges: &[(u8, u8)]) -> Self {
        let with = |set: Self, &(low, high): &(u8, u8)| set.with(low, high);
        ranges.iter().fold(Self::EMPTY, with)
    }

    pub(super) fn or(self, other: Self) -> Self {
        let mut bits = self.bits;
        for (mine, theirs) in bits.iter_mut().zip(other.bits) {
            *mine |= theirs;
        }
        Self {
            bits,
            loose_line_feed: self.loose_line_feed || other.loose_line_feed,
        }
    }

    /// All bytes that are not in it.
    pub(super) fn complement(self) -> Self {
        Self {
            bits: self.bits.map(|bits| !bits),
            loose_line_feed: !self.contains_byte(b'\n'),
        }
    }

    /// With both cases of its letters; ASCII's only, as where expressions are
    /// read byte by byte.
    pub(super) fn ignoring_case(mut self) -> Self {
        for letter in b'a'..=b'z' {
            let upper = letter.to_ascii_uppercase();
            if self.contains_byte(letter) || self.contains_byte(upper) {
                self = self.with(letter, letter).with(upper, upper);
            }
        }
        self
    }

    const fn contains_byte(self, byte: u8) -> bool {
        let [a, b, c, d] = self.bits;
        let quarter = match byte >> 6 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        quarter >> (byte & 63) & 1 != 0
    }

    /// Whether it has one byte only.
    pub(super) fn is_single(self) -> bool {
        self.bits.iter().map(|bits| bits.count_ones()).sum::<u32>() == 1
    }

    pub(super) fn contains(self, symbol: Symbol) -> bool {
        match symbol {
            Symbol::Byte(byte) => self.contains_byte(byte),
            Symbol::LooseLineFeed => self.loose_line_feed,
        }
    }
}
