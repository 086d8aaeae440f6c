//! The reports for services, each held against a tool that reads it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::tools::{compile, run, scratch, tool};
use super::{fixture_objects, root};

/// Runs scx-lint in a folder, out of reach of a CI service's variables. The published package has no `.git` to tell where the
/// repository starts.
fn scx_lint(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
    command.current_dir(folder).env_remove("GITHUB_WORKSPACE").env_remove("CI_PROJECT_DIR");
    if !root().join(".git").exists() {
        command.env("GITHUB_WORKSPACE", root());
    }
    command.args(arguments).output().unwrap()
}

/// The report on a few objects that have everything: errors, a warning, notes, something undecided, one that cannot be
/// read, and one whose names are hostile.
fn report(name: &str, format: &str) -> (PathBuf, String) {
    let folder = scratch(name);
    hostile(&folder);
    let object = |stem: &str| root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"));
    for stem in
        ["multiple-arenas__two_members", "deprecated-op__cpu_release", "invalid-map-definition__near_scx"]
    {
        std::fs::copy(object(stem), folder.join(format!("{stem}.bpf.o"))).unwrap();
    }
    let output = scx_lint(
        &folder,
        &[
            "--format",
            format,
            "multiple-arenas__two_members.bpf.o",
            "missing.bpf.o",
            "deprecated-op__cpu_release.bpf.o",
            "invalid-map-definition__near_scx.bpf.o",
            "hostile.bpf.o",
        ],
    );
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    (folder, String::from_utf8(output.stdout).unwrap())
}

const HOSTILE: &str = "<b>|`]\r\n:,%\"";

/// An object with a program whose name is markup in every format.
fn hostile(folder: &Path) {
    let mut data =
        std::fs::read(root().join("fixtures/obj/clang-19/cast-without-arena__unconditional.bpf.o")).unwrap();
    let mut at = 0;
    while let Some(found) = data[at..].windows(12).position(|window| window == b"demo_running") {
        data[at + found..at + found + 12].copy_from_slice(HOSTILE.as_bytes());
        at += found;
    }
    assert!(at > 0);
    std::fs::write(folder.join("hostile.bpf.o"), data).unwrap();
}

fn sarif_schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(include_str!("../data/sarif-schema-2.1.0.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn sarif_fits_the_official_schema() {
    let validator = sarif_schema();
    let paths: Vec<String> = fixture_objects().iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let mut arguments = vec!["--format", "sarif", "absent.bpf.o"];
    arguments.extend(paths.iter().map(String::as_str));
    let output = scx_lint(&root().join("fixtures/src"), &arguments);
    let mut log: Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors: Vec<_> = validator.iter_errors(&log).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let results = log["runs"][0]["results"].as_array().unwrap().clone();
    assert!(results.len() > 50);
    for result in &results {
        let rule = &log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uriBaseId"], "%SRCROOT%");
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        // The sources of some linked objects are one folder further down.
        let found = root().join(uri).is_file() || uri.starts_with("fixtures/src/");
        assert!(found, "{uri} is not relative to the repository");
    }
    let on_line = results.iter().filter(|result| {
        let place = &result["locations"][0]["physicalLocation"];
        place["artifactLocation"]["uri"].as_str().unwrap().ends_with(".bpf.c")
            && place["region"]["startLine"].as_u64().unwrap() > 1
    });
    assert!(on_line.count() > 15);
    let prints: BTreeSet<_> =
        results.iter().map(|r| r["partialFingerprints"]["scxLint/v1"].as_str().unwrap()).collect();
    // The objects that were built from one source for two byte orders or linked share their names.
    assert!(prints.len() * 10 > results.len() * 9, "{} of {}", prints.len(), results.len());
    assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], false);
    // The schema does refuse.
    log["runs"][0]["results"][0]["level"] = "fatal".into();
    assert!(!validator.is_valid(&log));
}

/// What GitHub's "SARIF support for code scanning" says of uploads: what is above a limit is cut off or refused.
#[test]
fn sarif_keeps_to_what_code_scanning_takes() {
    let paths: Vec<String> = fixture_objects().iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let mut arguments = vec!["--kernel", "all", "--format", "sarif"];
    arguments.extend(paths.iter().map(String::as_str));
    let output = scx_lint(&root().join("fixtures/src"), &arguments);
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Ten megabytes, compressed.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&output.stdout).unwrap();
    assert!(packed.finish().unwrap().len() < 5 << 20);
    let [run] = &log["runs"].as_array().unwrap()[..] else { panic!("one run") };
    // A category, as `category: scx-lint` of the action gives it: what is before the last slash.
    assert_eq!(run["automationDetails"]["id"], "scx-lint/");
    assert!(run["tool"].get("extensions").is_none());
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let within = |value: &Value, most: usize| value.as_str().unwrap().chars().count() <= most;
    let mut names = BTreeSet::new();
    for rule in rules {
        assert!(names.insert(rule["id"].as_str().unwrap()), "{}", rule["id"]);
        assert!(within(&rule["id"], 255) && within(&rule["name"], 255));
        assert!(
            within(&rule["shortDescription"]["text"], 1024) && within(&rule["fullDescription"]["text"], 1024)
        );
        assert!(!rule["help"]["text"].as_str().unwrap().is_empty());
        assert!(rule["properties"]["tags"].as_array().unwrap().len() <= 10);
        let levels = ["error", "warning", "recommendation"];
        assert!(levels.contains(&rule["properties"]["problem.severity"].as_str().unwrap()));
    }
    let results = run["results"].as_array().unwrap();
    assert!(results.len() > 100 && results.len() <= 5000, "{}", results.len());
    let mut prints = BTreeSet::new();
    for result in results {
        assert!(names.contains(result["ruleId"].as_str().unwrap()));
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        assert_eq!(result["locations"].as_array().unwrap().len(), 1);
        assert!(result["relatedLocations"].as_array().is_none_or(|related| related.len() <= 100));
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(!uri.starts_with(['/', '.']) && !uri.contains(':') && !uri.contains("/../"), "{uri}");
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        // What it knows an alert by; two of one rule that share it would become one.
        let print = result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap();
        assert!(prints.insert((result["ruleId"].as_str().unwrap(), uri, print)), "{uri}: {print}");
    }
}

/// One file with several objects is one artifact and a suite for each; so is one that is named twice.
#[test]
fn several_objects_of_a_file_are_told_apart() {
    let folder = scratch("several-objects");
    let object =
        |stem: &str| std::fs::read(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"))).unwrap();
    let (bad, good) = (object("missing-arena__no_arena"), object("good__realistic_cid"));
    let program = [&std::fs::read("/bin/true").unwrap()[..], &bad, &good, &bad].concat();
    std::fs::write(folder.join("program"), program).unwrap();
    std::fs::write(folder.join("s.bpf.o"), good).unwrap();
    let inputs = ["program", "s.bpf.o", "./s.bpf.o", "s.bpf.o"];
    let print = |format: &str| {
        let output = scx_lint(&folder, &[&["--format", format][..], &inputs].concat());
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let log: Value = serde_json::from_str(&print("sarif")).unwrap();
    let errors: Vec<_> = sarif_schema().iter_errors(&log).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(log["runs"][0]["artifacts"].as_array().unwrap().len(), 2, "{}", log["runs"][0]["artifacts"]);
    let xml = print("junit");
    let suites: Vec<&str> =
        xml.split("<testsuite name=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let names: BTreeSet<_> = suites.iter().collect();
    assert_eq!((suites.len(), names.len()), (6, 6), "{suites:?}");
    let issues: Vec<Value> = serde_json::from_str(&print("gitlab")).unwrap();
    let prints: BTreeSet<_> = issues.iter().map(|issue| issue["fingerprint"].as_str().unwrap()).collect();
    assert_eq!(prints.len(), issues.len());
}

/// A line in a header of the system is nobody's in this repository: the object stands for it.
#[test]
fn alerts_are_inside_the_repository() {
    let folder = scratch("outside");
    std::fs::create_dir(folder.join(".git")).unwrap();
    std::fs::copy(
        root().join("fixtures/obj/clang-19/multiple-arenas__two_members.bpf.o"),
        folder.join("s.bpf.o"),
    )
    .unwrap();
    let remap = |to: &str| {
        let arguments = ["--remap-path", &format!("./={to}"), "-A", "no-hotplug-callbacks", "s.bpf.o"];
        let run = |format: &str| -> Value {
            let output = scx_lint(&folder, &[&["--format", format][..], &arguments].concat());
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let (log, issues) = (run("sarif"), run("gitlab"));
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        let of = |location: &Value| {
            location["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap().to_owned()
        };
        let found = results.iter().find(|result| result["ruleId"] == "multiple-arenas").unwrap();
        let related: Vec<String> = found["relatedLocations"].as_array().unwrap().iter().map(of).collect();
        let issue =
            issues.as_array().unwrap().iter().find(|issue| issue["check_name"] == "multiple-arenas").unwrap();
        let path = issue["location"]["path"].as_str().unwrap().to_owned();
        (of(&found["locations"][0]), related, path)
    };
    let source = "multiple-arenas__two_members.bpf.c";
    let (uri, related, path) = remap("/usr/include/");
    assert_eq!((&*uri, &*path), ("s.bpf.o", "s.bpf.o"));
    assert!(related.iter().all(|uri| *uri == format!("file:///usr/include/{source}")), "{related:?}");
    let (uri, _, path) = remap("src/");
    assert_eq!((&*uri, &*path), (&*format!("src/{source}"), &*format!("src/{source}")));
}

#[test]
fn sarif_satisfies_its_authors_validator_and_the_rules_of_github() {
    let Some(multitool) = tool("sarif-multitool") else { return };
    let (folder, log) = report("sarif-multitool", "sarif");
    let validate = |log: &str| {
        std::fs::write(folder.join("log.sarif"), log).unwrap();
        let mut command = Command::new(&multitool);
        command.current_dir(&folder).env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1");
        command.args(["validate", "log.sarif", "--rule-kind", "Sarif;Gh", "--level", "Error;Warning"]);
        command.args(["--kind", "Fail", "--output", "verdict.sarif", "--log", "ForceOverwrite"]);
        run(&mut command);
        // Without a byte order mark.
        let text = std::fs::read_to_string(folder.join("verdict.sarif")).unwrap();
        let verdict: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
        let results = verdict["runs"][0]["results"].as_array().cloned().unwrap_or_default();
        results
            .iter()
            .map(|result| format!("{}: {}", result["ruleId"], result["message"]))
            .collect::<Vec<_>>()
    };
    // It wants the tool's home page, which is known once the package says where its repository is.
    let page = |text: &String| text.contains("SARIF2005") && env!("CARGO_PKG_REPOSITORY").is_empty();
    let complaints: Vec<_> = validate(&log).into_iter().filter(|text| !page(text)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let broken = validate(&log.replace("\"startLine\": 10", "\"startLine\": -1"));
    assert!(broken.iter().any(|text| !page(text)), "the validator does complain");
}

#[test]
fn fingerprints_survive_a_move_of_lines() {
    let Some(clang) = tool("clang-19") else { return };
    let folder = scratch("fingerprints");
    let source =
        std::fs::read_to_string(root().join("fixtures/src/arena-not-always-mapped__plain.bpf.c")).unwrap();
    let seen = |source: &str| {
        std::fs::write(folder.join("s.bpf.c"), source).unwrap();
        compile(&clang, &folder, "s.bpf.c", "s.bpf.o");
        let output = scx_lint(&folder, &["--format", "sarif", "s.bpf.o"]);
        let log: Value = serde_json::from_slice(&output.stdout).unwrap();
        let result = &log["runs"][0]["results"][0];
        (
            result["partialFingerprints"]["scxLint/v1"].as_str().unwrap().to_owned(),
            result["locations"][0]["physicalLocation"]["region"]["startLine"].as_u64().unwrap(),
        )
    };
    let before = seen(&source);
    let after = seen(&source.replacen('\n', "\n\n\n/* more */\n", 1));
    assert_eq!(before.0, after.0);
    assert_eq!(before.1 + 3, after.1);
    let other = seen(&source.replace("demo_ops", "other_ops"));
    assert_ne!(before.0, other.0);
}

#[test]
fn github_commands_are_what_the_toolkit_would_write() {
    let (folder, commands) = report("github", "github");
    let levels: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("::")?.split(' ').next())
        .filter(|level| ["error", "warning", "notice"].contains(level))
        .collect();
    assert!(levels.is_sorted_by_key(|level| ["error", "warning", "notice"].iter().position(|l| l == level)));
    assert!(levels.contains(&"notice") && levels.contains(&"warning"), "{commands}");
    assert!(commands.contains("::error file="), "{commands}");
    assert!(commands.contains("multiple-arenas__two_members.bpf.c,line=10,col=2,title=multiple-arenas::"));
    let (Some(node), Some(core)) = (tool("node"), tool("actions-core")) else { return };
    // Takes every command apart as the runner does, and has the toolkit write it anew.
    let script = format!(
        "import {{ issueCommand }} from {:?};
        import {{ readFileSync }} from 'node:fs';
        const data = s => s.replaceAll('%0D', '\\r').replaceAll('%0A', '\\n').replaceAll('%25', '%');
        const property = s => s.replaceAll('%0D', '\\r').replaceAll('%0A', '\\n').replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%25', '%');
        for (const line of readFileSync('commands', 'utf8').split('\\n')) {{
            const found = /^::(error|warning|notice) (.*?)::(.*)$/.exec(line);
            if (!found) continue;
            const pairs = found[2].split(',').map(pair => [pair.split('=')[0], property(pair.slice(pair.indexOf('=') + 1))]);
            issueCommand(found[1], Object.fromEntries(pairs), data(found[3]));
        }}",
        core.to_str().unwrap()
    );
    std::fs::write(folder.join("again.mjs"), script).unwrap();
    std::fs::write(folder.join("commands"), &commands).unwrap();
    let again = run(Command::new(node).current_dir(&folder).arg("again.mjs"));
    let ours: Vec<&str> = commands.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(String::from_utf8(again.stdout).unwrap().lines().collect::<Vec<_>>(), ours);
    assert!(ours.iter().any(|line| line.contains("%0D%0A:,%25")), "the hostile name is escaped: {ours:#?}");
}

#[test]
fn github_keeps_to_ten_annotations_of_a_level() {
    let folder = scratch("github-limit");
    let bad = root().join("fixtures/obj/clang-19/missing-arena__no_arena.bpf.o");
    let count = |objects: usize| {
        let names: Vec<String> = (0..objects).map(|i| format!("s{i}.bpf.o")).collect();
        let mut arguments = vec!["--format", "github", "-A", "no-hotplug-callbacks"];
        for name in &names {
            std::fs::copy(&bad, folder.join(name)).unwrap();
            arguments.push(name);
        }
        let output = String::from_utf8(scx_lint(&folder, &arguments).stdout).unwrap();
        let annotations = output.lines().filter(|line| line.starts_with("::error ")).count();
        (annotations, output)
    };
    assert_eq!(count(10).0, 10);
    let (annotations, output) = count(13);
    assert_eq!(annotations, 10, "{output}");
    assert!(output.contains("::error title=scx-lint::and 4 more"), "{output}");
    for name in ["s9", "s10", "s11", "s12"] {
        assert!(output.contains(&format!("- error: {name}.bpf.o")), "{output}");
    }
}

#[test]
fn gitlab_issues_have_what_its_reader_requires() {
    let (_, report) = report("gitlab", "gitlab");
    let issues: Vec<Value> = serde_json::from_str(&report).unwrap();
    let mut prints = BTreeSet::new();
    for issue in &issues {
        assert!(
            ["info", "minor", "major", "critical", "blocker"].contains(&issue["severity"].as_str().unwrap())
        );
        assert!(!issue["description"].as_str().unwrap().is_empty());
        assert!(!issue["check_name"].as_str().unwrap().is_empty());
        let path = issue["location"]["path"].as_str().unwrap();
        assert!(!path.starts_with("./"), "{path}");
        assert!(issue["location"]["lines"]["begin"].as_u64().unwrap() >= 1);
        assert!(prints.insert(issue["fingerprint"].as_str().unwrap().to_owned()), "fingerprints are unique");
    }
    assert!(issues.len() >= 6, "{issues:#?}");
}

#[test]
fn junit_is_read_by_junitparser() {
    let (folder, xml) = report("junit", "junit");
    std::fs::write(folder.join("junit.xml"), &xml).unwrap();
    let Some(python) = tool("python") else { return };
    let script = "import sys, junitparser
report = junitparser.JUnitXml.fromfile('junit.xml')
cases = [(suite.name, case) for suite in report for case in suite]
print(len(cases), report.failures, report.errors)
for name, case in cases:
    for result in case.result:
        print(name, type(result).__name__, result.type)";
    let output = run(Command::new(python).current_dir(&folder).args(["-c", script]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("5 2 1\n"), "{text}");
    assert!(text.contains("multiple-arenas__two_members.bpf.o Failure several-arenas-in-object"), "{text}");
    assert!(text.contains("missing.bpf.o Error not-found"), "{text}");
    assert!(text.contains("hostile.bpf.o Failure cast-without-arena"), "{text}");
}

#[test]
fn markdown_keeps_its_shape_in_githubs_renderer() {
    let (folder, text) = report("markdown", "markdown");
    std::fs::write(folder.join("summary.md"), &text).unwrap();
    let Some(cmark) = tool("cmark-gfm") else { return };
    let html = run(Command::new(cmark).current_dir(&folder).args([
        "--unsafe",
        "-e",
        "table",
        "-e",
        "autolink",
        "summary.md",
    ]));
    let html = String::from_utf8(html.stdout).unwrap();
    assert_eq!(html.matches("<tr>").count(), 6, "{html}");
    // Two cells a row, whatever the names contain.
    assert_eq!(html.matches("<td>").count(), 10, "{html}");
    assert!(!html.contains("<b>"), "a name became markup: {html}");
    assert!(html.contains("&lt;b&gt;|`]"), "{html}");
    assert!(html.contains("<h4>Cannot tell</h4>"), "{html}");
}

#[test]
fn html_is_one_page_that_chromium_shows() {
    let (folder, page) = report("html", "html");
    std::fs::write(folder.join("page.html"), &page).unwrap();
    for fetched in ["<script", "<link", "<img", "@import", "url(", "src="] {
        assert!(!page.contains(fetched), "{fetched}");
    }
    let Some(chromium) = tool("chromium") else { return };
    let chromium = |arguments: &[&str]| {
        let mut command = Command::new(&chromium);
        command.current_dir(&folder).args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ]);
        command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
        command.args(arguments).arg(format!("file://{}", folder.join("page.html").display()));
        String::from_utf8(run(&mut command).stdout).unwrap()
    };
    let dom = chromium(&["--dump-dom"]);
    // What the browser understood, not what was written: rows, findings, and a picture per scheduler.
    assert_eq!(dom.matches("<tr>").count(), 6, "{dom}");
    assert_eq!(dom.matches("<svg").count(), 4);
    assert_eq!(dom.matches("class=\"map arena").count(), 2, "both in the first object");
    assert!(!dom.contains("<b>|"), "a name became markup");
    let shot = |scheme: &str, name: &str| {
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        chromium(&[
            &scheme,
            "--window-size=1200,2400",
            &format!("--screenshot={}", folder.join(name).display()),
        ]);
        std::fs::read(folder.join(name)).unwrap()
    };
    let (light, dark) = (shot("1", "light.png"), shot("0", "dark.png"));
    assert!(light.len() > 50_000 && dark.len() > 50_000, "nothing is drawn");
    assert_ne!(light, dark);
}

#[test]
fn graphs_are_drawn_by_graphviz_and_mermaid() {
    let folder = scratch("graphs");
    hostile(&folder);
    let good = root().join("fixtures/obj/clang-19/good__realistic_cid.bpf.o");
    for (name, object) in [("good", good), ("hostile", folder.join("hostile.bpf.o"))] {
        let object = object.to_str().unwrap();
        let dot = scx_lint(&folder, &["inspect", "--graph", "dot", object]);
        assert_eq!(dot.status.code(), Some(0));
        std::fs::write(folder.join(format!("{name}.dot")), &dot.stdout).unwrap();
        let mermaid = scx_lint(&folder, &["inspect", "--graph", "mermaid", object]);
        std::fs::write(folder.join(format!("{name}.mmd")), &mermaid.stdout).unwrap();
    }
    if let Some(dot) = tool("dot") {
        for (name, nodes) in [("good", 13), ("hostile", 3)] {
            let svg = run(Command::new(&dot).current_dir(&folder).args(["-Tsvg", &format!("{name}.dot")]));
            let svg = String::from_utf8(svg.stdout).unwrap();
            assert_eq!(svg.matches("class=\"node\"").count(), nodes, "{svg}");
            assert_eq!(svg.contains("gold"), name == "good", "an arena stands out");
        }
    }
    let (Some(chromium), Some(mermaid)) = (tool("chromium"), tool("mermaid")) else { return };
    let texts: Vec<String> = ["good", "hostile"]
        .iter()
        .map(|name| std::fs::read_to_string(folder.join(format!("{name}.mmd"))).unwrap())
        .collect();
    let page = format!(
        "<script src=\"file://{}\"></script><body><script type=module>
        const out = [];
        mermaid.initialize({{ startOnLoad: false }});
        for (const text of {}) {{
            try {{
                const {{ svg }} = await mermaid.render('m' + out.length, text);
                const nodes = new DOMParser().parseFromString(svg, 'text/html').querySelectorAll('g.node');
                out.push('NODES=' + nodes.length + ' ' + [...nodes].map(n => n.textContent).join(';'));
            }} catch (error) {{ out.push('FAILED: ' + error); }}
        }}
        document.body.textContent = out.join(' / ');</script>",
        mermaid.display(),
        serde_json::to_string(&texts).unwrap().replace("</", "<\\/"),
    );
    std::fs::write(folder.join("mermaid.html"), page).unwrap();
    let mut command = Command::new(chromium);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    let dom = run(command.arg(format!("file://{}", folder.join("mermaid.html").display())));
    let dom = String::from_utf8(dom.stdout).unwrap();
    let dom = &dom[dom.find("<body>").unwrap()..];
    assert!(dom.contains("NODES=13 ") && dom.contains("NODES=3 "), "{dom}");
    assert!(!dom.contains("FAILED"), "{dom}");
}
