//! The documented answers, read.

use super::trouble::{Again, RequestFailure, without_keys};
use super::*;

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

const ANTHROPIC_COST: &str = r#"{"data":[{"starting_at":"2025-08-01T00:00:00Z","ending_at":"2025-08-02T00:00:00Z","results":[{
   "amount":"123.78912","currency":"USD","cost_type":"tokens","description":"Claude Opus 5 Usage - Input Tokens",
   "model":"claude-opus-5","token_type":"uncached_input_tokens","service_tier":"standard","context_window":"0-200k",
   "inference_geo":"global","workspace_id":"wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ"}]},
   {"starting_at":"2025-08-02T00:00:00Z","ending_at":"2025-08-03T00:00:00Z","results":[]}],
 "has_more":true,"next_page":"page_MjAyNS0wNS0xNFQwMDowMDowMFo="}"#;

const ANTHROPIC_USAGE: &str = r#"{"data":[{"starting_at":"2025-08-01T00:00:00Z","ending_at":"2025-08-02T00:00:00Z","results":[{
   "account_id":"user_01WCz1FkmYMm4gnmykNKUu3Q","api_key_id":"apikey_01Rj2N8SVvo6BePZj99NhmiT",
   "cache_creation":{"ephemeral_1h_input_tokens":1000,"ephemeral_5m_input_tokens":500},
   "cache_read_input_tokens":200,"context_window":"0-200k","inference_geo":"global","model":"claude-opus-4-6",
   "output_tokens":500,"server_tool_use":{"web_search_requests":10},
   "service_account_id":"svac_01Hk3R9TWxq7CfQak00OiVw4","service_tier":"standard",
   "uncached_input_tokens":1500,"workspace_id":"wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ"}]}],
 "has_more":false,"next_page":null}"#;

const OPENAI_USAGE: &str = r#"{"object":"page","data":[{"object":"bucket","start_time":1730419200,"end_time":1730505600,"results":[{
  "object":"organization.usage.completions.result","input_tokens":1000,"input_cached_tokens":400,"input_cache_write_tokens":100,
  "input_uncached_tokens":500,"output_tokens":500,"num_model_requests":5,"project_id":null,"user_id":null,"api_key_id":null,
  "model":null,"batch":null,"service_tier":null},
  {"object":"organization.usage.something_new.result","num_requests":2}]}],"has_more":true,"next_page":"page_AAAAAGdGxdEiJdKOAAAAAGcqsYA="}"#;

#[test]
fn the_documented_answers_of_anthropic_are_read() {
    let page = anthropic::costs(ANTHROPIC_COST).unwrap();
    assert_eq!(page.next.as_deref(), Some("page_MjAyNS0wNS0xNFQwMDowMDowMFo="));
    assert_eq!(page.days["2025-08-02"], [], "an empty day is told, too");
    let line = &page.days["2025-08-01"][0];
    assert_eq!((line.model.as_str(), line.item.as_str()), ("claude-opus-5", ""));
    assert_eq!(line.usd.unwrap().to_string(), "1.2378912", "cents");
    let page = anthropic::usage(ANTHROPIC_USAGE).unwrap();
    let line = &page.days["2025-08-01"][0];
    let tokens = Metered { input: 1500, output: 500, cache_read: 200, cache_write: 1500 };
    assert_eq!((line.tokens, line.key.as_str()), (Some(tokens), "apikey_01Rj2N8SVvo6BePZj99NhmiT"));
    assert_eq!(page.next, None);
}

#[test]
fn amounts_of_openai_are_numbers_or_texts_and_cached_tokens_a_part_of_the_input() {
    let costs = |value: &str, item: &str| {
        let text = format!(
            r#"{{"data":[{{"start_time":1730419200,"start_time_iso":"x","results":[{{"object":"organization.costs.result",
            "amount":{{"value":{value},"currency":"usd"}},"line_item":{item},"project_id":"proj_1","project_name":"x"}}]}}],
            "has_more":false,"next_page":null}}"#
        );
        openai::costs(&text).unwrap().days["2024-11-01"][0].clone()
    };
    assert_eq!(costs("0.06", "null").usd.unwrap().micros(), 60_000);
    let line = costs("\"0.001589850000000000000000000000\"", "\"gpt-5.5-2026-04-23, cached input\"");
    assert_eq!(
        (line.usd.unwrap().to_string().as_str(), line.model.as_str()),
        ("0.00158985", "gpt-5.5-2026-04-23")
    );
    assert_eq!(costs("1", "\"priority | gpt-6-sol, output, long context\"").model, "gpt-6-sol");
    assert_eq!(costs("1", "\"gpt-audio-mini-2025-12-15 audio, input\"").model, "gpt-audio-mini-2025-12-15");
    let line = costs("1e-3", "\"web search tool calls\"");
    assert_eq!((line.model.as_str(), line.item.as_str()), ("", "web search tool calls"));
    let page = openai::usage(OPENAI_USAGE).unwrap();
    assert_eq!(page.days["2024-11-01"].len(), 1, "what is new is left out");
    let tokens = Metered { input: 500, output: 500, cache_read: 400, cache_write: 100 };
    assert_eq!(page.days["2024-11-01"][0].tokens, Some(tokens));
}

#[test]
fn rows_of_bigquery_are_read_by_the_names_of_their_columns() {
    let text = r#"{"kind":"bigquery#queryResponse","schema":{"fields":[{"name":"net","type":"STRING"},{"name":"day","type":"STRING"},
        {"name":"project","type":"STRING"},{"name":"sku","type":"STRING"},{"name":"currency","type":"STRING"}]},
        "jobReference":{"projectId":"p","jobId":"job_abc","location":"US"},"totalRows":"2","pageToken":"more","rows":[
        {"f":[{"v":"1.234567"},{"v":"2026-11-20"},{"v":"p"},{"v":"Generate content output token count gemini 2.5 flash short input text"},{"v":"USD"}]},
        {"f":[{"v":"-0.5"},{"v":"2026-11-20"},{"v":null},{"v":"Vector Search"},{"v":"USD"}]}],
        "jobComplete":true,"cacheHit":false}"#;
    let answered = google::answer(text).unwrap();
    assert_eq!((answered.job.as_str(), answered.page.next.as_deref()), ("job_abc", Some("more")));
    let lines = &answered.page.days["2026-11-20"];
    assert_eq!((lines[0].model.as_str(), lines[0].usd.unwrap().micros()), ("gemini-2.5-flash", 1_234_567));
    assert_eq!((lines[1].item.as_str(), lines[1].usd.unwrap().micros()), ("Vector Search", -500_000));
    let running = r#"{"jobReference":{"projectId":"p","jobId":"j"},"jobComplete":false}"#;
    assert!(!google::answer(running).unwrap().is_complete);
    assert!(google::is_table("p-1.d.gcp_billing_export_v1_01_AB") && !google::is_table("p.d.t` WHERE 1"));
}

#[test]
fn what_is_missed_is_an_error_with_a_sentence() {
    let told = |error: Result<Page, String>, word: &str| {
        let sentence = error.unwrap_err();
        assert!(sentence.contains(word), "{sentence}");
    };
    // What the predecessor expected, and what any page without the fields that matter would be.
    told(anthropic::usage(r#"{"usage":[{"date":"x","model":"m","tokens":1,"cost_usd":1}]}"#), "data");
    told(anthropic::costs(&ANTHROPIC_COST.replace("amount", "amount_of")), "amount");
    told(anthropic::costs(&ANTHROPIC_COST.replace("\"USD\"", "\"EUR\"")), "EUR");
    told(anthropic::costs(&ANTHROPIC_COST.replace("123.78912", "a lot")), "a lot");
    told(openai::usage(&OPENAI_USAGE.replace("\"input_tokens\"", "\"tokens\"")), "input_tokens");
    told(openai::costs("<html>"), "cannot be read");
    told(google::answer(r#"{"error":1}"#).map(|answered| answered.page), "BigQuery");
}

#[test]
fn lines_of_both_reports_meet_under_one_name() {
    let mut days = Days::default();
    days.add(anthropic::costs(ANTHROPIC_COST).unwrap());
    days.add(anthropic::costs(ANTHROPIC_COST).unwrap());
    days.add(anthropic::usage(ANTHROPIC_USAGE).unwrap());
    let bills = days.bills(Provider::Anthropic, at("2025-08-02T05:00:00Z"));
    let bill = &bills["2025-08-01"];
    assert_eq!((bill.lines.len(), total(bill).to_string().as_str()), (2, "2.4757824"));
    assert!(!bill.is_partial && bills["2025-08-02"].is_partial);
}

#[test]
fn all_days_that_may_have_changed_are_read_again() {
    let now = at("2026-11-26T14:00:00Z");
    let window = |provider, last| {
        let (from, until) = window(provider, last, now);
        (day_of(from), day_of(until))
    };
    let told = |from: &str| (from.to_owned(), "2026-11-27".to_owned());
    assert_eq!(window(Provider::Anthropic, at("2026-11-26T13:00:00Z")), told("2026-11-23"));
    assert_eq!(
        window(Provider::OpenAi, at("2026-11-20T13:00:00Z")),
        told("2026-11-13"),
        "after a week of failures"
    );
    assert_eq!(window(Provider::Anthropic, Time(0)), told("2026-10-27"), "never before");
    assert_eq!(
        window(Provider::Anthropic, at("2027-01-01T00:00:00Z")),
        told("2026-11-23"),
        "the clock was set back"
    );
}

#[test]
fn a_late_correction_replaces_and_nothing_is_not_zero() {
    let line = |usd: &str| vec![BillLine { usd: Money::dollars(usd), ..BillLine::default() }];
    let bill = |lines, is_partial| DayBill { lines, is_partial, ..DayBill::default() };
    let old = bill(line("1"), true);
    assert_eq!(replaced(Some(&old), &bill(Vec::new(), true)), None, "it has not got the day yet");
    assert_eq!(replaced(None, &bill(Vec::new(), true)), None);
    assert_eq!(replaced(Some(&old), &old), None);
    let complete = replaced(Some(&old), &bill(line("2"), false)).unwrap();
    assert_eq!((complete.corrections, total(&complete).micros()), (0, 2_000_000));
    let corrected = replaced(Some(&complete), &bill(line("1.5"), false)).unwrap();
    assert_eq!((corrected.corrections, total(&corrected).micros()), (1, 1_500_000));
    assert_eq!(replaced(Some(&corrected), &bill(Vec::new(), false)).unwrap().lines, []);
}

#[test]
fn failures_say_whether_to_try_again_and_never_show_a_key() {
    let refused =
        |status, after, body: &str| RequestFailure::refused(Provider::OpenAi, status, after, body, false);
    assert_eq!(refused(429, Some("17"), "").again, Again::After(Duration::from_secs(17)));
    assert_eq!(refused(429, None, "").again, Again::Soon);
    assert_eq!(refused(502, None, "<html>").again, Again::Soon);
    let denied =
        refused(401, None, r#"{"error":{"message":"Incorrect API key provided: sk-admin-ab***yz."}}"#);
    assert_eq!(denied.again, Again::Never);
    assert_eq!(
        denied.text,
        "openai has answered 401: Incorrect API key provided: <key>; it requires an admin key, which begins with sk-admin, or \
         one with the scope api.usage.read"
    );
    assert_eq!(RequestFailure::refused(Provider::OpenAi, 400, None, "", true).again, Again::FromTheStart);
    let limited = r#"{"error":{"code":403,"message":"m","errors":[{"reason":"rateLimitExceeded"}]}}"#;
    assert_eq!(RequestFailure::refused(Provider::Google, 403, None, limited, false).again, Again::Soon);
    assert_eq!(without_keys("key=(sk-ant-api03-x) and more"), "key=(<key> and more");
    assert!(without_keys(&"ä".repeat(999)).chars().count() <= 301);
}

#[test]
fn editions_of_a_model_are_the_model() {
    for (name, model) in [
        ("claude-sonnet-5-20260301", "claude-sonnet-5"),
        ("gpt-5.5-2026-04-23", "gpt-5.5"),
        ("claude-opus-5[1m]", "claude-opus-5"),
        ("claude-opus-4-8-fast", "claude-opus-4-8"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
        ("o3", "o3"),
        ("gpt-4-12345678", "gpt-4-12345678"),
    ] {
        assert_eq!(plain_model(name), model);
    }
}
