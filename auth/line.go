package auth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxLineOctets limits a line of a passwd file. The longest known hash takes
// about 200 octets, extra fields some hundred.
const maxLineOctets = 8192

// record is what one line of a passwd file says about a user.
type record struct {
	account Account
	secret  secret
	locked  bool     // the password field matches nothing, on purpose
	nologin bool     // right passwords are refused
	nets    Networks // where logins may come from; empty is anywhere
}

// lineUser is the name on a line; ok is false for comments and empty lines.
func lineUser(line string) (name string, ok bool) {
	if strings.TrimSpace(line) == "" || line[0] == '#' {
		return "", false
	}
	name, _, _ = strings.Cut(line, ":")
	return name, true
}

// parseLine reads a line of a passwd file, as Dovecot's passwd-file driver
// defines it: user:password:uid:gid:gecos:home:shell:extra. Fields at the end
// may be missing, and colons in the extra part belong to it. Of a line in the
// form of shadow(5) only the user and the password count. Errors never quote
// the line.
func parseLine(line string) (record, error) {
	if len(line) > maxLineOctets {
		return record{}, fmt.Errorf("line is longer than %d octets", maxLineOctets)
	}
	if strings.IndexByte(line, 0) >= 0 {
		return record{}, errors.New("line holds NUL")
	}
	fields := make([]string, 8)
	copy(fields, strings.SplitN(line, ":", 8))
	if isShadow(line) {
		fields = append(fields[:2], make([]string, 6)...)
	}
	rec := record{account: Account{Name: fields[0], Home: fields[5]}}
	if rec.account.Name == "" {
		return record{}, errors.New("no user name")
	}
	var err error
	if rec.secret, err = parseSecret(fields[1]); errors.Is(err, errLocked) {
		rec.locked = true
	} else if err != nil {
		return record{}, err
	}
	if err := rec.setIDs(fields[2], fields[3]); err != nil {
		return record{}, err
	}
	for _, field := range strings.Fields(fields[7]) {
		key, value, _ := strings.Cut(field, "=")
		if err := rec.setExtra(key, value); err != nil {
			return record{}, err
		}
	}
	if home := rec.account.Home; home != "" && home[0] != '/' {
		return record{}, errors.New("home is not an absolute path")
	}
	return rec, nil
}

// isShadow recognizes a line of shadow(5): nine fields, of which all after the
// password are numbers or empty. Read as passwd-file, the day of the last
// change would be a user id.
func isShadow(line string) bool {
	fields := strings.Split(line, ":")
	return len(fields) == 9 && strings.Trim(strings.Join(fields[2:], ""), "0123456789") == ""
}

func (r *record) setIDs(uid, gid string) error {
	if err := setID(&r.account.UID, "uid", uid); err != nil {
		return err
	}
	return setID(&r.account.GID, "gid", gid)
}

func setID(id **uint32, what, text string) error {
	if text == "" {
		return nil
	}
	// 4294967295 is -1, which the system takes for "leave it as it is".
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 1<<32-1 {
		return fmt.Errorf("%s is not a number from 0 to 4294967294", what)
	}
	value := uint32(n)
	*id = &value
	return nil
}

// setExtra takes one key=value of the extra part. Keys that mean something to
// another server alone are ignored.
func (r *record) setExtra(key, value string) (err error) {
	switch key {
	case "user":
		if value == "" {
			return errors.New("user= is empty")
		}
		r.account.Name = value
	case "userdb_home":
		r.account.Home = value
	case "userdb_mail":
		r.account.Mail = value
	case "userdb_uid":
		return r.setIDs(value, "")
	case "userdb_gid":
		return r.setIDs("", value)
	case "nologin":
		r.nologin = true
	case "allow_nets":
		r.nets, err = parseNets(value)
	}
	return err
}

// parseNets reads a comma-separated list of at least one network.
func parseNets(list string) (Networks, error) {
	nets, err := ParseNetworks(strings.Split(list, ","))
	if err != nil {
		// What ParseNetworks says quotes the line.
		return Networks{}, errors.New("allow_nets holds something that is neither an address, a network nor \"local\"")
	}
	return nets, nil
}
