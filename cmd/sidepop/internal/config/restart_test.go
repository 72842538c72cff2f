package config

import (
	"reflect"
	"slices"
	"testing"

	"github.com/BurntSushi/toml"
)

// TestHoldOver changes every key, one at a time. Those that hold only from a
// start on are beside what is said of them.
func TestHoldOver(t *testing.T) {
	const before = `tls = {certificate = "/c", key = "/k"}
[listen]
pop3 = ["[::]:110"]
[auth]
passwd_file = "/users"
`
	changes := map[string]struct{ value, want string }{
		"hostname":          {`"mx.example.org"`, ""},
		"user":              {`"pop"`, "user"},
		"runtime_dir":       {`"/srv/run"`, "runtime_dir"},
		"mailbox":           {`"/var/mail/%u"`, ""},
		"mail_user":         {`"vmail"`, ""},
		"minimum_uid":       {`500`, ""},
		"uidl":              {`"md5"`, "uidl"},
		"x_uidl":            {`true`, "x_uidl"},
		"uidl_lists_before": {`2026-11-22`, "uidl_lists_before"},

		"listen.pop3":           {`["[::1]:110"]`, "listen"},
		"listen.pop3s":          {`["[::]:995"]`, "listen"},
		"listen.pop3_legacy":    {`["[::]:10110"]`, "listen"},
		"listen.pop3s_legacy":   {`["[::]:10995"]`, "listen"},
		"listen.proxy_networks": {`["::1"]`, ""},

		"listen.proxy_certificates": {`true`, ""},

		"tls.certificate":     {`"/other"`, ""},
		"tls.key":             {`"/other"`, ""},
		"tls.certificates":    {`[{certificate = "/a", key = "/b"}]`, ""},
		"tls.profile":         {`"modern"`, ""},
		"tls.minimum_version": {`"1.3"`, ""},
		"tls.curves":          {`["P-256"]`, ""},
		"tls.client_ca":       {`"/other"`, ""},

		"auth.sources":           {`["pam"]`, ""},
		"auth.passwd_file":       {`"/other"`, ""},
		"auth.passwd_domains":    {`["a"]`, ""},
		"auth.pam_service":       {`"pop"`, ""},
		"auth.pam_helper":        {`"/other"`, ""},
		"auth.pam_domains":       {`["a"]`, ""},
		"auth.pam_session":       {`true`, "auth.pam_session"},
		"auth.fold_case":         {`false`, ""},
		"auth.postfix":           {`["/a"]`, ""},
		"auth.password_maps":     {`"hash:/a"`, ""},
		"auth.virtual_domains":   {`["a"]`, ""},
		"auth.allow":             {`["::1"]`, ""},
		"auth.deny":              {`["::1"]`, ""},
		"auth.user_networks":     {`{ "a" = ["::1"] }`, ""},
		"auth.cache_time":        {`"1s"`, ""},
		"auth.failure_delay":     {`"1s"`, ""},
		"auth.network":           {`true`, "auth.network"},
		"auth.plaintext":         {`true`, ""},
		"auth.apop":              {`true`, ""},
		"auth.cram_md5":          {`true`, ""},
		"auth.scram":             {`"never"`, ""},
		"auth.certificate_users": {`"/other"`, ""},
		"auth.channel_binding":   {`true`, ""},
		"auth.master_users":      {`"/other"`, ""},

		"auth.oauth_issuer":             {`"i"`, ""},
		"auth.oauth_audience":           {`["mail"]`, ""},
		"auth.oauth_jwks":               {`"/keys"`, ""},
		"auth.oauth_introspection":      {`"https://id.example.org/"`, ""},
		"auth.oauth_client_id":          {`"c"`, ""},
		"auth.oauth_client_secret_file": {`"/secret"`, ""},
		"auth.oauth_user_claim":         {`"sub"`, ""},
		"auth.oauth_scope":              {`["mail"]`, ""},

		"pop3.utf8_headers": {`"refuse"`, ""},
		"pop3.expire":       {`30`, ""},

		"index.state_dir":    {`"/srv/state"`, "index"},
		"index.watch":        {`"none"`, "index"},
		"index.commit_delay": {`"2s"`, "index"},
		"index.commit_count": {`100`, "index"},
		"index.keep_time":    {`"1h"`, "index"},
		"index.mark_seen":    {`false`, "index"},

		"limits.line":                    {`256`, ""},
		"limits.sasl_line":               {`12289`, ""},
		"limits.login_time":              {`"1m"`, ""},
		"limits.idle_time":               {`"11m"`, ""},
		"limits.write_time":              {`"1m"`, ""},
		"limits.bad_commands":            {`1`, ""},
		"limits.login_failures":          {`1`, ""},
		"limits.connections":             {`1`, ""},
		"limits.connections_per_address": {`1`, ""},
		"limits.sessions_per_user":       {`1`, ""},
		"limits.login_delay":             {`"1s"`, ""},
		"limits.shutdown_time":           {`"1s"`, ""},

		"log.level":  {`"debug"`, "log"},
		"log.format": {`"json"`, "log"},
	}
	parse := func() *Config {
		c, err := Parse("f", before)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if keys := parse().HoldOver(parse()); keys != nil {
		t.Errorf("nothing changed, and %v need a restart", keys)
	}
	for _, key := range keyNames() {
		change, ok := changes[key]
		if !ok {
			t.Errorf("%s: not decided on", key)
			continue
		}
		next := parse()
		set(t, next, key, change.value)
		var want []string
		if change.want != "" {
			want = []string{change.want}
		}
		changed := *next
		got := next.HoldOver(parse())
		if !slices.Equal(got, want) {
			t.Errorf("%s = %s: got %v, want %v", key, change.value, got, want)
		}
		if kept := reflect.DeepEqual(next, parse()); kept != (change.want != "") || !kept && !reflect.DeepEqual(*next, changed) {
			t.Errorf("%s = %s: held over: %v", key, change.value, kept)
		}
	}

	all := parse()
	for key, change := range changes {
		set(t, all, key, change.value)
	}
	want := []string{"user", "runtime_dir", "uidl", "x_uidl", "uidl_lists_before", "listen", "auth.pam_session", "auth.network", "index", "log"}
	if got := all.HoldOver(parse()); !slices.Equal(got, want) {
		t.Errorf("all changed:\n got %v\nwant %v", got, want)
	}
}

// set gives a key a value, which has to be another one.
func set(t *testing.T, c *Config, key, value string) {
	t.Helper()
	changed := *c
	var doc struct{ V toml.Primitive }
	meta, err := toml.Decode("V = "+value, &doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range c.keys() {
		if k.name == key {
			err = meta.PrimitiveDecode(doc.V, k.set)
		}
	}
	if err != nil || reflect.DeepEqual(*c, changed) {
		t.Fatalf("%s = %s: no change, %v", key, value, err)
	}
}
