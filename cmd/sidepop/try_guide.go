package main

import (
	"net"
	"strings"
	"text/template"

	"sidepop/cmd/sidepop/internal/maillog"
)

// guideText is what `sidepop try` says first. It is laid out for 80 columns;
// commands are indented by four. The openssl commands need -quiet, or openssl
// would take lines that begin with Q or R (QUIT, RETR) for its own commands.
var guideText = template.Must(template.New("guide").Parse(
	`{{.Bold}}sidepop serves {{if .Samples}}{{.Samples}} sample messages{{else}}{{.Maildir}}{{end}} to this machine.{{.Normal}}

  User      {{.User}}
  Password  {{.Password}}
  Server    localhost, port {{.Port}} (plaintext or STLS) and port {{.TLSPort}} (TLS)
{{- if .Samples}}
  Maildir   {{.Maildir}}
{{- end}}

{{.Bold}}To paste into another terminal{{.Normal}}

  List the messages, then fetch the first one, in plaintext:
    curl -u {{.User}}:{{.Password}} pop3://localhost:{{.Port}}/
    curl -u {{.User}}:{{.Password}} pop3://localhost:{{.Port}}/1

  Fetch it over TLS, after STLS and with TLS from the start:
    curl --ssl-reqd --cacert {{.Certificate}} \
      -u {{.User}}:{{.Password}} pop3://localhost:{{.Port}}/1
    curl --cacert {{.Certificate}} \
      -u {{.User}}:{{.Password}} pop3s://localhost:{{.TLSPort}}/1

  Speak POP3 yourself: USER {{.User}}, PASS {{.Password}}, LIST, TOP 1 0, QUIT
    openssl s_client -quiet -crlf -CAfile {{.Certificate}} \
      -connect localhost:{{.TLSPort}}
    openssl s_client -quiet -crlf -CAfile {{.Certificate}} \
      -connect localhost:{{.Port}} -starttls pop3
{{- if .Samples}}

  Deliver a message, as a mail server would:
    (cd {{.QuotedMaildir}} &&
     f=$(mktemp tmp/$(date +%s).XXXXXX) &&
     printf 'From: you@example.org\nSubject: Hello\n\nIt works.\n' >$f &&
     mv $f new/)
{{- end}}

{{.Bold}}For a mail program{{.Normal}}

  Account         POP3 (some programs offer IMAP first)
  Server          localhost
  Port, security  {{.TLSPort}} with SSL/TLS, or {{.Port}} with STARTTLS or none
  User name       {{.User}}
  Password        {{.Password}} (normal password)
  Certificate     sidepop's own, made just now: accept it when asked, or import
                  {{.Certificate}}
{{if .Samples}}
Most mail programs remove messages from the server once they have them.
{{- else}}
{{.Bold}}This is real mail.{{.Normal}} sidepop by itself changes nothing in the Maildir. But a
client that says DELE and then QUIT removes messages, and most mail programs do
that unless they are set to leave messages on the server. The commands above
remove nothing.
{{- end}}
Ctrl-C ends it{{if .Keep}} and keeps {{else}} and removes {{end}}{{.Folder}}.

{{.Bold}}What happens{{.Normal}}

`))

// guide is guideText for this trial.
func (t *trial) guide(f *folder, ls []listener, s style) (string, error) {
	var b strings.Builder
	err := guideText.Execute(&b, map[string]any{
		"Bold": s.bold, "Normal": s.normal,
		"Samples":       f.messages,
		"User":          f.user,
		"Password":      f.password,
		"Port":          port(ls, false),
		"TLSPort":       port(ls, true),
		"Maildir":       maillog.Escape(f.maildir),
		"QuotedMaildir": shellQuote(f.maildir),
		"Certificate":   shellQuote(f.certificate),
		"Folder":        f.path,
		"Keep":          t.keep,
	})
	return b.String(), err
}

func port(ls []listener, implicitTLS bool) int {
	for _, l := range ls {
		if a, ok := l.Addr().(*net.TCPAddr); ok && l.implicitTLS == implicitTLS {
			return a.Port
		}
	}
	return 0
}

// shellQuote makes a path one word of a shell.
func shellQuote(path string) string {
	const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@"
	if strings.Trim(path, safe) == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
