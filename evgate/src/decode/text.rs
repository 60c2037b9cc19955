//! The text form of an OCPP payload: one line a field, name, value, unit. (YKC frames know their own units.)

use std::io::{self, Write};

use serde_json::Value;

/// Writes `fields` one a line under a heading, nested ones indented.
pub fn write_fields(fields: &Value, indent: usize, out: &mut dyn Write) -> io::Result<()> {
    let Some(map) = fields.as_object() else { return writeln!(out, "{:indent$}{}", "", plain(fields)) };
    let width = map.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in map {
        match value {
            Value::Object(_) => {
                writeln!(out, "{:indent$}{name}", "")?;
                write_fields(value, indent + 2, out)?;
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for (index, item) in items.iter().enumerate() {
                    writeln!(out, "{:indent$}{name}[{index}]", "")?;
                    write_fields(item, indent + 2, out)?;
                }
            }
            _ => {
                let unit = unit(name, map.get("unit"));
                let gap = if unit.is_empty() { "" } else { " " };
                writeln!(out, "{:indent$}{name:width$}  {}{gap}{unit}", "", plain(value))?;
            }
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The unit of a field by its name. `sampled` is the sibling `unit` of an OCPP sampled value.
fn unit<'a>(name: &str, sampled: Option<&'a Value>) -> &'a str {
    // OCPP says its unit beside the value; without one it is Wh (OCPP 1.6 §7.47).
    if name == "value" {
        return sampled.and_then(Value::as_str).unwrap_or("Wh");
    }
    match name {
        "meterStart" | "meterStop" => "Wh",
        "limit" | "minChargingRate" => "in chargingRateUnit",
        "interval" | "duration" | "retryInterval" | "startPeriod" => "s",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        let mut out = Vec::new();
        write_fields(value, 2, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_values_and_units_in_columns() {
        let fields = json!({"meterStart": 5, "idTag": "A1", "vin": ""});
        assert_eq!(text(&fields), "  idTag       A1\n  meterStart  5 Wh\n  vin         \"\"\n");
    }

    #[test]
    fn nested_values_are_indented_and_a_sampled_value_keeps_its_own_unit() {
        let fields = json!({"sampledValue": [{"value": "12"}, {"value": "7", "unit": "kWh"}]});
        assert_eq!(
            text(&fields),
            "  sampledValue[0]\n    value  12 Wh\n  sampledValue[1]\n    unit   kWh\n    value  7 kWh\n"
        );
    }
}
