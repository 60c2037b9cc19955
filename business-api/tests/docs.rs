//! `docs/api.md` names every metric, and the shipped registry file is right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[test]
fn every_metric_is_described() {
    let page = include_str!("../../docs/api.md");
    for name in business_api::metrics::ALL {
        assert!(page.contains(&format!("`{name}`")), "docs/api.md lacks {name}");
    }
    for value in business_api::metrics::DEAD_LETTER_REASONS.iter().chain(&business_api::metrics::SETTLED_AS) {
        assert!(page.contains(value), "docs/api.md lacks the label value {value}");
    }
}

#[test]
fn every_route_is_described() {
    let page = include_str!("../../docs/api.md");
    for path in business_api::http::paths() {
        let head: String = path.split("/{").next().unwrap().to_owned();
        assert!(page.contains(&head), "docs/api.md lacks {path}");
    }
}

#[test]
fn the_default_configuration_is_valid_and_unknown_keys_are_refused() {
    business_api::Config::default().validate().unwrap();
    let error = toml::from_str::<business_api::Config>("listne = \"127.0.0.1:1\"").unwrap_err();
    assert!(error.to_string().contains("listne"));
    let text = toml::to_string(&business_api::Config::default()).unwrap();
    assert_eq!(toml::from_str::<business_api::Config>(&text).unwrap(), business_api::Config::default());
    for (text, key) in [
        ("database_url = \"mysql://x\"", "database_url"),
        ("batch = 0", "batch"),
        ("plausibility_percent = 50", "plausibility_percent"),
        ("command_ttl_ms = 1", "command_ttl_ms"),
    ] {
        assert_eq!(toml::from_str::<business_api::Config>(text).unwrap().validate().unwrap_err().key, key);
    }
}
