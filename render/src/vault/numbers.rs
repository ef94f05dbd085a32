//! Arithmetic of templates: `add 1 2`, and `5 | subtract 2`, whose result is 3.

use gotmpl::Value;

/// Two numbers of the same kind.
pub(super) enum Pair {
    Integers(i64, i64),
    Floats(f64, f64),
}

/// An operation on two numbers; `None` if it has no result.
type Operation = fn(Pair) -> Option<Value>;

/// The result of an operation on `a` and `b`, which are the last and the first argument.
pub(super) fn operation(arguments: &[Value], of: Operation) -> Result<Value, &'static str> {
    let [b, a] = arguments else { return Err("needs two numbers") };
    let pair = match (integer(a), integer(b)) {
        (Some(a), Some(b)) => Some(Pair::Integers(a, b)),
        _ => float(a).zip(float(b)).map(|(a, b)| Pair::Floats(a, b)),
    };
    of(pair.ok_or("needs two numbers")?).ok_or("has no result that a number can hold")
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(it) => Some(*it),
        Value::Uint(it) => i64::try_from(*it).ok(),
        _ => None,
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(it) => Some(*it as f64),
        Value::Uint(it) => Some(*it as f64),
        Value::Float(it) => Some(*it),
        _ => None,
    }
}

pub(super) fn add(pair: Pair) -> Option<Value> {
    Some(match pair {
        Pair::Integers(a, b) => Value::Int(a.checked_add(b)?),
        Pair::Floats(a, b) => Value::Float(a + b),
    })
}

pub(super) fn subtract(pair: Pair) -> Option<Value> {
    Some(match pair {
        Pair::Integers(a, b) => Value::Int(a.checked_sub(b)?),
        Pair::Floats(a, b) => Value::Float(a - b),
    })
}

pub(super) fn multiply(pair: Pair) -> Option<Value> {
    Some(match pair {
        Pair::Integers(a, b) => Value::Int(a.checked_mul(b)?),
        Pair::Floats(a, b) => Value::Float(a * b),
    })
}

pub(super) fn divide(pair: Pair) -> Option<Value> {
    Some(match pair {
        Pair::Integers(a, b) => Value::Int(a.checked_div(b)?),
        Pair::Floats(a, b) => Value::Float(a / b),
    })
}

pub(super) fn modulo(pair: Pair) -> Option<Value> {
    match pair {
        Pair::Integers(a, b) => Some(Value::Int(a.checked_rem(b)?)),
        Pair::Floats(..) => None,
    }
}

pub(super) fn minimum(pair: Pair) -> Option<Value> {
    Some(match pair {
        Pair::Integers(a, b) => Value::Int(a.min(b)),
        Pair::Floats(a, b) => Value::Float(a.min(b)),
    })
}

pub(super) fn maximum(pair: Pair) -> Option<Value> {
    Some(match pair {
        Pair::Integers(a, b) => Value::Int(a.max(b)),
        Pair::Floats(a, b) => Value::Float(a.max(b)),
    })
}
