package pop3

import (
	"math"
	"strings"
)

// command is one row of a state's table.
type command struct {
	arguments func(rest string) ([]string, error)
	run       func(c *session, args []string) (reply, error)
}

// The commands of each state (RFC 1939, section 3, and the extensions).
var (
	authorizationCommands map[string]command
	transactionCommands   map[string]command
)

func init() { // not an initialiser, since CAPA's answer is made of the tables' users
	authorizationCommands = map[string]command{
		"USER": {text, (*session).cmdUser},
		"PASS": {text, (*session).cmdPass},
		"APOP": {words(2, 2, errAPOPArgs), (*session).cmdApop},
		"AUTH": {words(0, 2, errAuthArgs), (*session).cmdAuth},
		"STLS": {none, (*session).cmdStls},
		"UTF8": {none, (*session).cmdUtf8},
		"LANG": {words(0, 1, errOneArgument), (*session).cmdLang},
		"CAPA": {none, (*session).cmdCapa},
		"QUIT": {none, (*session).cmdLeave},
	}
	transactionCommands = map[string]command{
		"STAT": {none, (*session).cmdStat},
		"LIST": {words(0, 1, errOneArgument), (*session).cmdList},
		"UIDL": {words(0, 1, errOneArgument), (*session).cmdUidl},
		"RETR": {words(1, 1, errOneArgument), (*session).cmdRetr},
		"TOP":  {words(2, 2, errTopArgs), (*session).cmdTop},
		"DELE": {words(1, 1, errOneArgument), (*session).cmdDele},
		"RSET": {none, (*session).cmdRset},
		"NOOP": {none, (*session).cmdNoop},
		"LANG": {words(0, 1, errOneArgument), (*session).cmdLang},
		"CAPA": {none, (*session).cmdCapa},
		"QUIT": {none, (*session).cmdQuit},
	}
}

// upper changes ASCII letters alone: strings.ToUpper makes QUIT of "qu\u0131t".
func upper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, s)
}

// none accepts nothing but spaces, which some programs leave there.
func none(rest string) ([]string, error) {
	if strings.Trim(rest, " ") != "" {
		return nil, errNoArguments
	}
	return nil, nil
}

// text takes the rest of the line as it is: a password may hold spaces, at its
// ends too (RFC 1939, section 7, PASS).
func text(rest string) ([]string, error) {
	if rest == "" {
		return nil, errOneArgument
	}
	return []string{rest}, nil
}

// words takes arguments separated by spaces.
func words(least, most int, usage *Error) func(string) ([]string, error) {
	return func(rest string) ([]string, error) {
		args := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' })
		if len(args) < least || len(args) > most {
			return nil, usage
		}
		return args, nil
	}
}

// number reads a decimal number without sign. One that is too large for any
// maildrop is the largest there is.
func number(s string) (int, bool) {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxInt32-9)/10 {
			n = math.MaxInt32
			continue
		}
		n = 10*n + int(c-'0')
	}
	return n, s != ""
}
