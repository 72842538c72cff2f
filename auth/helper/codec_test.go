package helper

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// requests are such that can be carried.
var requests = map[string]request{
	"authenticate": {id: 1, verb: verbAuthenticate, login: Login{
		Service: "sidepop", User: "joe", Password: Secret("hunter2"), Remote: netip.MustParseAddr("192.0.2.1")}},
	"options": {id: 1<<64 - 1, verb: verbAuthenticate, login: Login{
		Service: "sidepop", User: "joe@example.org", Password: Secret("\xff \n"), Remote: netip.MustParseAddr("2001:db8::1"),
		SetCred: true, OpenSession: true}},
	"longest": {verb: verbAuthenticate, login: Login{
		Service: strings.Repeat("s", MaxService), User: strings.Repeat("u", MaxUser),
		Password: bytes.Repeat([]byte("p"), MaxPassword), Remote: netip.IPv6Unspecified()}},
	"admit":  {id: 8, verb: verbAdmit, login: Login{Service: "sidepop", User: "joe", Remote: netip.MustParseAddr("192.0.2.1")}},
	"lookup": {id: 7, verb: verbLookup, login: Login{User: "joe"}},
}

// answers are such that can be carried.
var answers = map[string]Answer{
	"accepted": {Outcome: Accepted, Account: Account{Name: "joe", UID: 1000, GID: 1<<32 - 1, Groups: []uint32{4, 27}, Home: "/home/joe"},
		Messages: []string{"pam_lastlog: welcome"}},
	"credentials": {Outcome: Credentials},
	"longest": {Outcome: Found, Account: Account{Name: strings.Repeat("n", MaxUser), Groups: make([]uint32, MaxGroups), Home: strings.Repeat("h", MaxHome)},
		Messages: repeat(strings.Repeat("m", MaxMessage), MaxMessages)},
	"no home": {Outcome: Found, Account: Account{Name: "daemon"}},
}

func repeat(s string, n int) []string {
	var all []string
	for range n {
		all = append(all, s)
	}
	return all
}

func TestRequestRoundTrip(t *testing.T) {
	for name, r := range requests {
		packet := r.encode()
		got, err := decodeRequest(packet)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(*got, r) {
			t.Errorf("%s: got %+v, want %+v", name, *got, r)
		}
		for n := range packet {
			if _, err := decodeRequest(packet[:n]); err == nil {
				t.Errorf("%s: the first %d of %d octets are taken for all", name, n, len(packet))
			}
		}
		if allocs := testing.AllocsPerRun(10, func() { packet = r.encode() }); allocs > 1 {
			t.Errorf("%s: %v allocations: the packet has grown and left a password behind", name, allocs)
		}
	}
}

func TestAnswerRoundTrip(t *testing.T) {
	for name, a := range answers {
		r := reply{id: 9, verb: verbAnswer, answer: a}
		packet := r.encode()
		if len(packet) > maxPacket {
			t.Errorf("%s: %d octets are more than a packet has", name, len(packet))
		}
		got, err := decodeReply(packet)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(*got, r) {
			t.Errorf("%s: got %+v, want %+v", name, *got, r)
		}
		for n := range packet {
			if _, err := decodeReply(packet[:n]); err == nil {
				t.Errorf("%s: the first %d of %d octets are taken for all", name, n, len(packet))
			}
		}
	}
}

// packet is made of texts, each as it is.
func packet(parts ...string) []byte { return []byte(strings.Join(parts, "")) }

const someID = "\x00\x00\x00\x00\x00\x00\x00\x07"

var malformedRequests = []struct {
	name   string
	packet []byte
	want   string
}{
	{"nothing", nil, "too short"},
	{"version", packet("\x02\x03", someID, "\x00\x01j"), "protocol version 2"},
	{"no such verb", packet("\x01\x09", someID, "\x00\x01j"), "unknown verb"},
	{"verb of the other side", packet("\x01\x04", someID, "\x02\x00"), "unknown verb"},
	{"trailing", packet("\x01\x03", someID, "\x00\x01j", "\x00"), "after the end"},
	{"empty user", packet("\x01\x03", someID, "\x00\x00"), "user name is empty"},
	{"long user", packet("\x01\x03", someID, "\x01\x41", strings.Repeat("u", MaxUser+1)), "user name has 321 octets"},
	{"NUL in user", packet("\x01\x03", someID, "\x00\x03j\x00e"), "user name has a NUL"},
	{"no service", packet("\x01\x02", someID, "\x00\x00", "\x00\x01j", "\x00\x01p", "\x00", "\x00"), "service name is empty"},
	{"path", packet("\x01\x02", someID, "\x00\x04a/pw", "\x00\x01j", "\x00\x01p", "\x00", "\x00"), "single path element"},
	{"parent", packet("\x01\x02", someID, "\x00\x02..", "\x00\x01j", "\x00\x01p", "\x00", "\x00"), "single path element"},
	{"empty password", packet("\x01\x02", someID, "\x00\x01s", "\x00\x01j", "\x00\x00", "\x00", "\x00"), "password is empty"},
	{"NUL in password", packet("\x01\x02", someID, "\x00\x01s", "\x00\x01j", "\x00\x02p\x00", "\x00", "\x00"), "password has a NUL"},
	{"address of 3 octets", packet("\x01\x02", someID, "\x00\x01s", "\x00\x01j", "\x00\x01p", "\x03abc", "\x00"), "malformed address"},
	{"mapped address", packet("\x01\x02", someID, "\x00\x01s", "\x00\x01j", "\x00\x01p",
		"\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01", "\x00"), "malformed address"},
	{"option", packet("\x01\x02", someID, "\x00\x01s", "\x00\x01j", "\x00\x01p", "\x00", "\x04"), "unknown option"},
	{"admission with a password", packet("\x01\x05", someID, "\x00\x01s", "\x00\x01j", "\x00\x01p", "\x00", "\x00"), "after the end"},
	{"admission to a path", packet("\x01\x05", someID, "\x00\x01/", "\x00\x01j", "\x00"), "single path element"},
	{"too long", packet("\x01\x03", strings.Repeat("x", maxPacket)), "too long"},
}

func TestMalformedRequests(t *testing.T) {
	for _, c := range malformedRequests {
		_, err := decodeRequest(c.packet)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
	}
}

var malformedReplies = []struct {
	name   string
	packet []byte
	want   string
}{
	{"version", packet("\x00\x01"), "protocol version 0"},
	{"verb of the other side", packet("\x01\x03", someID, "\x00\x01j"), "unknown verb"},
	{"ready with more", packet("\x01\x01\x00"), "after the end"},
	{"outcome 0", packet("\x01\x04", someID, "\x00\x00"), "no outcome 0"},
	{"outcome 13", packet("\x01\x04", someID, "\x0d\x00"), "no outcome 13"},
	{"no name", packet("\x01\x04", someID, "\x01", "\x00\x00", "\x00\x00\x00\x01\x00\x00\x00\x02", "\x00\x00", "\x00\x00", "\x00"), "account name is empty"},
	{"NUL in home", packet("\x01\x04", someID, "\x01", "\x00\x01j", "\x00\x00\x00\x01\x00\x00\x00\x02", "\x00\x02/\x00", "\x00\x00", "\x00"), "home folder has a NUL"},
	{"groups missing", packet("\x01\x04", someID, "\x01", "\x00\x01j", "\x00\x00\x00\x01\x00\x00\x00\x02", "\x00\x01/", "\xff\xff", "\x00\x00\x00\x07\x00"), "too short"},
	{"groups", packet("\x01\x04", someID, "\x01", "\x00\x01j", "\x00\x00\x00\x01\x00\x00\x00\x02", "\x00\x01/", "\x04\x01", strings.Repeat("grps", MaxGroups+1), "\x00"), "in 1025 groups"},
	{"messages", packet("\x01\x04", someID, "\x02\x11", strings.Repeat("\x00\x01m", MaxMessages+1)), "17 messages"},
	{"long message", packet("\x01\x04", someID, "\x02\x01", "\x01\x01", strings.Repeat("m", MaxMessage+1)), "message has 257 octets"},
	{"account of a refusal", packet("\x01\x04", someID, "\x02", "\x00\x01j", "\x00\x00\x00\x01\x00\x00\x00\x02", "\x00\x01/", "\x00\x00", "\x00"), "after the end"},
}

func TestMalformedReplies(t *testing.T) {
	for _, c := range malformedReplies {
		_, err := decodeReply(c.packet)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for given, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1", "::1": "::1",
	} {
		r := requests["authenticate"]
		r.login.Remote = netip.MustParseAddr(given)
		got, err := decodeRequest(r.encode())
		if err != nil || got.login.Remote.String() != want {
			t.Errorf("%s: got %v, error %v, want %s", given, got, err, want)
		}
	}
	r := requests["authenticate"]
	r.login.Remote = netip.Addr{}
	if got, err := decodeRequest(r.encode()); err != nil || got.login.Remote.IsValid() {
		t.Errorf("no address: got %v, error %v", got, err)
	}
}

func TestSecretIsNotFormatted(t *testing.T) {
	login := Login{User: "joe", Password: Secret("hunter2")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, text := range []string{fmt.Sprintf(verb, login), fmt.Sprintf(verb, &login), fmt.Sprintf(verb, login.Password)} {
			if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) || strings.Contains(text, "104 117") {
				t.Errorf("%s shows the password: %s", verb, text)
			}
		}
	}
}

func TestPrintable(t *testing.T) {
	for given, want := range map[string]string{
		"plain":         "plain",
		"a\x1b[1mb\r\n": "a?[1mb??",
		"grün":          "grün",
		"12345678901":   "1234567...",
		"123456üüü":     "123456...", // the ü has two octets
		"1234567890":    "1234567890",
	} {
		if got := printable(given, 10); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
	if got := printable("\xff", 10); got != "\uFFFD" {
		t.Errorf("an octet that is not UTF-8 becomes %q", got)
	}
}

// FuzzRequest is what a helper reads. What is understood has one form only.
func FuzzRequest(f *testing.F) {
	for _, r := range requests {
		f.Add(r.encode())
	}
	for _, c := range malformedRequests {
		if len(c.packet) < 1000 {
			f.Add(c.packet)
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		r, err := decodeRequest(packet)
		if err != nil {
			return
		}
		if again := r.encode(); !bytes.Equal(again, packet) {
			t.Errorf("%x was read from %x", again, packet)
		}
		if r.verb == verbAuthenticate && (len(r.login.Password) == 0 || bytes.IndexByte(r.login.Password, 0) >= 0) {
			t.Errorf("a password that cannot be right passed")
		}
	})
}

// FuzzReply is what a keeper reads.
func FuzzReply(f *testing.F) {
	ready := reply{verb: verbReady}
	f.Add(ready.encode())
	for _, a := range answers {
		r := reply{id: 7, verb: verbAnswer, answer: a}
		if p := r.encode(); len(p) < 1000 {
			f.Add(p)
		}
	}
	for _, c := range malformedReplies {
		if len(c.packet) < 1000 {
			f.Add(c.packet)
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		r, err := decodeReply(packet)
		if err != nil {
			return
		}
		if again := r.encode(); !bytes.Equal(again, packet) {
			t.Errorf("%x was read from %x", again, packet)
		}
		if r.verb == verbAnswer && r.answer.Outcome.answers(verbAuthenticate) == r.answer.Outcome.answers(verbLookup) &&
			r.answer.Outcome != Temporary && r.answer.Outcome != Permanent {
			t.Errorf("%v answers both requests or none", r.answer.Outcome)
		}
	})
}
