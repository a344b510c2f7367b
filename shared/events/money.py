"""Money: decimal strings on the wire, whole minor units in every sum (ISO 4217 exponents)."""

from decimal import ROUND_HALF_EVEN, Decimal

_WITHOUT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"
_EXPONENTS = {
    currency: decimals for names, decimals in ((_WITHOUT, 0), (_THREE, 3), (_FOUR, 4)) for currency in names.split()
}


def exponent(currency: str) -> int:
    """The number of decimals of a currency's minor unit: 2 for EUR, 0 for JPY, 3 for KWD."""
    return _EXPONENTS.get(currency, 2)


def to_minor(amount: Decimal | str, currency: str) -> int:
    """An amount in whole minor units, half to even: `("49.90", "EUR")` is 4990."""
    return int(Decimal(amount).scaleb(exponent(currency)).quantize(Decimal(1), ROUND_HALF_EVEN))


def to_text(minor: int, currency: str) -> str:
    """Minor units as a plain decimal string: `(4990, "EUR")` is `"49.90"`."""
    return format(Decimal(minor).scaleb(-exponent(currency)), "f")
