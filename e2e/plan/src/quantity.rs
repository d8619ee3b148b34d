//! Kubernetes quantities such as `128Mi`, `0.5` and `100m` as whole numbers. The grammar is that of
//! `k8s.io/apimachinery/pkg/api/resource`; fractions are rounded up, as there.

/// More digits than any amount needs; keeps the arithmetic within `u128`.
const MAX_DIGITS: usize = 20;

/// A quantity in bytes.
pub fn bytes(text: &str) -> Result<u64, String> {
    scaled(text, 1)
}

/// A quantity in thousandths.
pub fn millis(text: &str) -> Result<u64, String> {
    scaled(text, 1000)
}

/// The quantity times `unit`, rounded up.
fn scaled(text: &str, unit: u128) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a quantity");
    let large = || format!("`{text}` is too large");
    if text.starts_with('-') {
        return Err(format!("`{text}` is negative"));
    }
    let rest = text.strip_prefix('+').unwrap_or(text);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || fraction.contains('.') {
        return Err(bad());
    }
    if digits.len() > MAX_DIGITS {
        return Err(format!("`{text}` has too many digits"));
    }
    let mantissa: u128 = digits.parse().map_err(|_| bad())?;
    let decimals = i32::try_from(fraction.len()).map_err(|_| bad())?;
    let (binary, exponent) = factor(suffix).ok_or_else(bad)?;
    let mantissa = mantissa.checked_mul(unit).and_then(|value| value.checked_mul(binary)).ok_or_else(large)?;
    let exponent = exponent - decimals;
    let power = 10_u128.checked_pow(exponent.unsigned_abs());
    let value = match (exponent >= 0, power) {
        (true, Some(power)) => mantissa.checked_mul(power).ok_or_else(large)?,
        (true, None) if mantissa > 0 => return Err(large()),
        (true, None) => 0,
        (false, Some(power)) => mantissa.div_ceil(power),
        (false, None) => u128::from(mantissa > 0),
    };
    u64::try_from(value).map_err(|_| large())
}

/// A suffix as a factor and a power of ten.
fn factor(suffix: &str) -> Option<(u128, i32)> {
    let decimal = |exponent| Some((1, exponent));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => Some((1 << 10, 0)),
        "Mi" => Some((1 << 20, 0)),
        "Gi" => Some((1 << 30, 0)),
        "Ti" => Some((1 << 40, 0)),
        "Pi" => Some((1 << 50, 0)),
        "Ei" => Some((1 << 60, 0)),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = exponent.parse().ok()?;
            (exponent.abs() <= 60).then_some((1, exponent))
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", 0)]
    #[case("128974848", 128_974_848)]
    #[case("129e6", 129_000_000)]
    #[case("129E6", 129_000_000)]
    #[case("129M", 129_000_000)]
    #[case("128974848000m", 128_974_848)]
    #[case("123Mi", 128_974_848)]
    #[case("1.5Gi", 1_610_612_736)]
    #[case("1Ki", 1024)]
    #[case("1k", 1000)]
    #[case(".5k", 500)]
    #[case("1.", 1)]
    #[case("+1", 1)]
    #[case("1m", 1)]
    #[case("1e-3", 1)]
    #[case("15E", 15_000_000_000_000_000_000)]
    fn memory(#[case] text: &str, #[case] expected: u64) {
        assert_eq!(bytes(text), Ok(expected));
    }

    #[rstest]
    #[case("100m", 100)]
    #[case("0.5", 500)]
    #[case("2", 2000)]
    #[case("0.0001", 1)]
    #[case("1500u", 2)]
    #[case("100n", 1)]
    fn cpu(#[case] text: &str, #[case] expected: u64) {
        assert_eq!(millis(text), Ok(expected));
    }

    #[rstest]
    #[case("", "`` is not a quantity")]
    #[case("Mi", "`Mi` is not a quantity")]
    #[case("12MB", "`12MB` is not a quantity")]
    #[case("1 Gi", "`1 Gi` is not a quantity")]
    #[case("1.2.3", "`1.2.3` is not a quantity")]
    #[case("-1", "`-1` is negative")]
    #[case("19E", "`19E` is too large")]
    #[case("1e60", "`1e60` is too large")]
    #[case("1e61", "`1e61` is not a quantity")]
    #[case("1e99999999999", "`1e99999999999` is not a quantity")]
    #[case("123456789012345678901", "`123456789012345678901` has too many digits")]
    fn refused(#[case] text: &str, #[case] message: &str) {
        assert_eq!(bytes(text), Err(message.to_owned()));
    }
}
