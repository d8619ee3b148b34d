use rstest::rstest;

use super::{super::tests::words, *};

#[rstest]
#[case(&["/bin/check", "-x"], &["/bin/check"])]
#[case(&["sh", "-c", "curl -sf http://a:1/b?c=1 2>&1 | grep -q 'a | b' || exit 1"], &["curl", "grep"])]
#[case(&["bash", "-ec", "if ! A=1 pg_isready; then exit 1; fi\nfor x in a b; do echo $x; done"], &["pg_isready", "echo"])]
#[case(&["sh", "-c", "[ $(redis-cli ping) = PONG ]"], &["[", "redis-cli"])]
#[case::a_line_that_goes_on(&["sh", "-c", "curl -f \\\n  http://a:1/b \\\n  && grep -q \"a \\\" | b\" /up"], &["curl", "grep"])]
#[case::a_comment(&["sh", "-c", "# is it up?\ncurl -f http://a:1/#b # or not; who knows"], &["curl"])]
#[case::options_of_a_keyword(&["sh", "-c", "command -v curl && exec -l check"], &["check"])]
#[case::in_double_quotes(&["sh", "-c", "test \"$(curl -w '%{http_code}' http://a | tail -n \"$(nproc)\")$((1 + 2))\" = '$(jq)' && check"], &["test", "curl", "tail", "nproc", "check"])]
#[case::a_list_of_bash(&["bash", "-c", "ports=(8080 9090) && check ${ports[0]} || x=$(date)"], &["check", "date"])]
#[case::behind_another(&["/usr/bin/timeout", "-k", "1", "5s", "env", "-i", "A=1", "check", "-x"], &["/usr/bin/timeout", "env", "check"])]
#[case::a_script_behind_another(&["timeout", "5", "sh", "-c", "curl -f http://a | xargs -n 1 -r check"], &["timeout", "curl", "xargs", "check"])]
#[case::another_alone(&["sh", "-c", "env | grep A"], &["env", "grep"])]
#[case::a_home(&["sh", "-c", "~/bin/check && >/dev/null check"], &[])]
fn programs_are_first_words(#[case] command: &[&str], #[case] expected: &[&str]) {
    assert_eq!(programs(&words(command)), words(expected));
}

#[rstest]
#[case("curl -f http://a/source?path=/cd", true)]
#[case("cd /app && ./check", false)]
#[case("export PATH=/app:$PATH\ncheck", false)]
#[case(". /app/env && check", false)]
#[case("check() { curl -f http://a; }\ncheck", false)]
#[case("[ $((now - 5)) -lt 3 ]", false)]
#[case("case $(cat /up) in\n  ready) exit 0;;\nesac", false)]
fn programs_of_a_simple_script_are_found_from_outside(#[case] script: &str, #[case] expected: bool) {
    assert_eq!(is_simple(script), expected);
}

#[rstest]
#[case("curl -f http://a 2>&1 | grep b && test -f c\n", false)]
#[case("curl -f http://a || exit 1", true)]
#[case("if curl -f http://a; then exit 0; fi", true)]
fn a_script_may_take_one_command_for_another(#[case] script: &str, #[case] expected: bool) {
    assert_eq!(chooses(script), expected);
}

#[rstest]
#[case("curl -f http://a \\\n  -m 5 2>&1 | A=1 grep -q b\n", true)]
#[case("exec curl -f http://a >/dev/null", true)]
#[case("test \"$(curl -s -w '%{http_code}' http://a | tail -n 1)\" = 200", true)]
#[case("[ $(pgrep -fc app) -ge 1 ]", true)]
#[case("[ -z \"$(pgrep job)\" ]", false)]
#[case("test -f /up/$(hostname)", false)]
#[case("test -f \"$(hostname)\" -o -f /up", false)]
#[case("test \"$(date || echo 1)\" = 1", false)]
#[case("test \"$(date)\" = 1 | cat", false)]
#[case("export ME=$(hostname)", false)]
#[case("! pgrep job", false)]
#[case("curl -f http://a && test -f b", false)]
#[case("curl -f http://a || test -f b", false)]
#[case("curl -f http://a & test -f b", false)]
#[case("curl -f http://a\ntest -f b", false)]
#[case("if curl -f http://a; then exit 0; fi", false)]
#[case("echo )(", false)]
fn one_pipeline_needs_all_of_its_programs(#[case] script: &str, #[case] expected: bool) {
    assert_eq!(needs_all(script), expected);
}

#[rstest]
#[case("! pgrep job", true)]
#[case("test -f up && if ! pgrep job; then exit 0; fi", true)]
#[case("[ ! -f up ] && echo !", false)]
fn a_negation_stands_before_a_command(#[case] script: &str, #[case] expected: bool) {
    assert_eq!(negates(script), expected);
}

#[test]
fn a_script_has_parts() {
    let script = "if ! timeout 3 curl -s \"$(cat a)\" | jq b; then echo && exit 1; fi";
    assert_eq!(simple_commands(script), ["timeout 3 curl -s \"$", "cat a", "\"", "jq b", "echo", "exit 1", "fi"]);
    assert_eq!(before_and("curl a | jq b && jq c"), Some("curl a | jq b "));
    assert_eq!(before_and("curl a 2>&1"), None);
    assert_eq!(before_and("curl a && jq c || exit 1\n"), Some("curl a "));
    assert_eq!(before_and("curl a && exit 0; jq b"), None);
    assert_eq!(before_and("curl a && exit 0 || jq b"), None);
}

#[rstest]
#[case(&["sh", "-c", "x=$(jq -r . 'jq') && test \"$(jq y)\" = /jq"], &["sh", "-c", "x=$(false -r . 'jq') && test \"$(false y)\" = /jq"])]
#[case(&["timeout", "5", "sh", "-c", "jq x"], &["timeout", "5", "sh", "-c", "false x"])]
#[case(&["jq", "x"], &["false", "x"])]
fn a_program_is_a_whole_word(#[case] command: &[&str], #[case] expected: &[&str]) {
    assert_eq!(with_program(&words(command), "jq", "false"), words(expected));
}

#[rstest]
#[case(&["sh", "-c", "sleep 1; exit 0"], true)]
#[case(&["sh", "-c", "case \"$ROLE\" in leader) check;; *) exit 1;; esac"], false)]
#[case(&["sh", "-c", "\"$CHECK\" --ready"], false)]
#[case(&["env"], true)]
fn what_a_script_starts_may_be_unknown(#[case] command: &[&str], #[case] expected: bool) {
    assert_eq!(starts_only(&words(command), &["sleep", "env"]), expected);
}
