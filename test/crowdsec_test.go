package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// crowdsecRoot is where the files of Debian's package crowdsec are. test/run unpacks
// it: installing it would register the machine with its makers.
func crowdsecRoot(t *testing.T) string {
	t.Helper()
	root := os.Getenv("SIDEPOP_TEST_CROWDSEC")
	if _, err := os.Stat(root + "/usr/bin/crowdsec"); err != nil {
		skip(t, "crowdsec is missing: SIDEPOP_TEST_CROWDSEC is the folder that its package is unpacked in")
	}
	return root
}

// crowdsec has CrowdSec read a log, with sidepop's parser and scenario, and gives the
// addresses that it would have banned, sorted. What decides on bans is this test.
func crowdsec(t *testing.T, root, log string) []string {
	t.Helper()
	var mu sync.Mutex
	var banned []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/v1/watchers/login":
			fmt.Fprint(w, `{"code":200,"expire":"2099-01-01T00:00:00Z","token":"t"}`)
		case "/v1/alerts":
			var alerts []struct {
				Source struct{ Value string }
			}
			if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusCreated)
			mu.Lock()
			defer mu.Unlock()
			var ids []string
			for _, a := range alerts {
				banned = append(banned, a.Source.Value)
				ids = append(ids, fmt.Sprintf("%q", fmt.Sprint(len(banned))))
			}
			fmt.Fprintf(w, "[%s]", strings.Join(ids, ","))
		default:
			fmt.Fprint(w, `{}`)
		}
	}))
	defer api.Close()

	dir := folder(t)
	write := func(name, text string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	copyFile := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(from)
		must(t, err)
		write(to, string(text))
	}
	hub := root + "/usr/share/crowdsec/hub/parsers/"
	copyFile(hub+"s00-raw/crowdsecurity/syslog-logs.yaml", "parsers/s00-raw/syslog-logs.yaml")
	copyFile(hub+"s02-enrich/crowdsecurity/dateparse-enrich.yaml", "parsers/s02-enrich/dateparse-enrich.yaml")
	copyFile("../contrib/crowdsec/parsers/s01-parse/sidepop-logs.yaml", "parsers/s01-parse/sidepop-logs.yaml")
	copyFile("../contrib/crowdsec/scenarios/sidepop-bf.yaml", "scenarios/sidepop-bf.yaml")
	patterns, err := filepath.Glob(root + "/etc/crowdsec/patterns/*")
	must(t, err)
	for _, p := range patterns {
		copyFile(p, "patterns/"+filepath.Base(p))
	}
	write("hub/.index.json", `{"parsers":{},"scenarios":{},"collections":{},"postoverflows":{}}`)
	write("simulation.yaml", "simulation: false\n")
	write("profiles.yaml", "name: none\nfilters:\n  - \"true\"\ndecisions: []\non_success: break\n")
	write("api.yaml", "url: "+api.URL+"/\nlogin: l\npassword: p\n")
	write("data/empty", "")
	write("log", log)
	write("config.yaml", strings.ReplaceAll(`common: {daemonize: false, log_media: stdout, log_level: warning, working_dir: .}
config_paths:
  config_dir: DIR
  data_dir: DIR/data
  simulation_path: DIR/simulation.yaml
  hub_dir: DIR/hub
  index_path: DIR/hub/.index.json
crowdsec_service: {parser_routines: 1}
db_config: {type: sqlite, db_path: DIR/data/crowdsec.db}
api:
  client: {credentials_path: DIR/api.yaml}
  server: {listen_uri: "127.0.0.1:0", profiles_path: DIR/profiles.yaml}
prometheus: {enabled: false}
`, "DIR", dir))
	copyFile(root+"/usr/bin/crowdsec", "crowdsec") // nobody may not be able to get there
	must(t, os.Chmod(filepath.Join(dir, "crowdsec"), 0o755))
	own(t, dir)
	said := run(t, dir, "", "./crowdsec", "-c", dir+"/config.yaml", "-dsn", "file://"+dir+"/log", "-type", "syslog", "-no-api")
	if t.Failed() || testing.Verbose() {
		t.Logf("crowdsec: %s", tail(said))
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(banned)
	return banned
}
