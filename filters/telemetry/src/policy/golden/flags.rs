//! Envoy's response flags, bit by bit.
//!
//! `response.flags` is the legacy bit set; the short names are those of
//! Envoy's access log (`source/common/stream_info/utility.h`).

const SHORT_NAMES: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC",
    "URX", "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR",
    "UDO",
];

/// The short names of the set flags, joined with commas; `-` when none is set.
/// A flag newer than this table is shown as its bit number.
#[must_use]
pub fn short_names(flags: u64) -> String {
    let mut out = String::new();
    for bit in (0..64).filter(|bit| flags >> bit & 1 == 1) {
        if !out.is_empty() {
            out.push(',');
        }
        match SHORT_NAMES.get(bit) {
            Some(name) => out.push_str(name),
            None => {
                out.push_str("bit");
                out.push_str(&bit.to_string());
            }
        }
    }
    if out.is_empty() {
        out.push('-');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::short_names;

    #[test]
    fn flags_read_as_in_envoys_access_log() {
        for (flags, expected) in [
            (0, "-"),
            (0x2, "UH"),
            (0x4000, "DC"),
            (0x8000 | 0x10, "UR,URX"),
            (0x200_0000, "OM"),
            (1 << 40, "bit40"),
        ] {
            assert_eq!(short_names(flags), expected);
        }
    }
}
