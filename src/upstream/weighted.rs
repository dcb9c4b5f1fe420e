//! A backend as it is declared: its address, and its weight beside others.

use std::fmt;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::BackendAddr;
use super::balance::MAX_WEIGHT;

/// An address with a weight: in JSON the address alone, or `{"address":"10.0.0.5:5432","weight":3}`;
/// on a command line `10.0.0.5:5432,weight=3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedAddr {
    /// The address.
    pub addr: BackendAddr,
    /// Its share beside others: 1 where none is given.
    pub weight: u32,
}

impl WeightedAddr {
    /// Checks a weight.
    ///
    /// # Errors
    /// It is 0, or too large.
    pub fn check(weight: u32) -> Result<u32, String> {
        match weight {
            1..=MAX_WEIGHT => Ok(weight),
            _ => Err(format!(
                "invalid weight {weight}: use 1 to {MAX_WEIGHT}, or leave the backend out"
            )),
        }
    }
}

impl From<BackendAddr> for WeightedAddr {
    fn from(addr: BackendAddr) -> Self {
        Self { addr, weight: 1 }
    }
}

impl fmt::Display for WeightedAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.weight {
            1 => self.addr.fmt(f),
            weight => write!(f, "{},weight={weight}", self.addr),
        }
    }
}

impl FromStr for WeightedAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((addr, more)) = text.split_once(',') else {
            return Ok(text.parse::<BackendAddr>()?.into());
        };
        let weight = more
            .strip_prefix("weight=")
            .and_then(|weight| weight.parse().ok())
            .ok_or_else(|| {
                format!("\"{text}\": write a weight after the address as in 10.0.0.5:5432,weight=3")
            })?;
        Ok(Self {
            addr: addr.parse()?,
            weight: Self::check(weight)?,
        })
    }
}

impl Serialize for WeightedAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.weight == 1 {
            return self.addr.serialize(serializer);
        }
        let Self { addr, weight } = self.clone();
        Pair {
            address: addr,
            weight,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WeightedAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    address: BackendAddr,
    #[serde(default = "one")]
    weight: u32,
}

fn one() -> u32 {
    1
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = WeightedAddr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<WeightedAddr, E> {
        let addr = text.parse::<BackendAddr>().map_err(E::custom)?;
        Ok(addr.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WeightedAddr, A::Error> {
        let pair = Pair::deserialize(MapAccessDeserializer::new(map))?;
        Ok(WeightedAddr {
            addr: pair.address,
            weight: WeightedAddr::check(pair.weight).map_err(A::Error::custom)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_written_where_there_is_one() {
        for (text, json) in [
            ("10.0.0.5:5432", r#""10.0.0.5:5432""#),
            (
                "10.0.0.5:5432,weight=3",
                r#"{"address":"10.0.0.5:5432","weight":3}"#,
            ),
        ] {
            let read: WeightedAddr = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
            assert_eq!(serde_json::from_str::<WeightedAddr>(json).unwrap(), read);
        }
        for bad in [
            "a:1,weight=0",
            "a:1,weight=x",
            "a:1,3",
            "a:1,weight=1000001",
        ] {
            assert!(bad.parse::<WeightedAddr>().is_err(), "{bad}");
        }
        for bad in [
            "7",
            r#"{"address":"a:1","wait":3}"#,
            r#"{"address":"a:1","weight":0}"#,
            r#"{"weight":2}"#,
            r#""a:1,weight=3""#,
        ] {
            assert!(serde_json::from_str::<WeightedAddr>(bad).is_err(), "{bad}");
        }
    }
}
