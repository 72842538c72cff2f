package auth

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// SystemFile has the machine's own accounts (passwd(5)). Those that NSS has from
// elsewhere are not in it.
const SystemFile = "/etc/passwd"

// SystemAccounts calls f with every account of a file in the format of
// passwd(5), in its order. Lines that give none are left out.
func SystemAccounts(file string, f func(*Account)) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		const name, uid, gid, home, count = 0, 2, 3, 5, 7
		if len(fields) != count || fields[name] == "" || strings.ContainsAny(fields[name][:1], "#+-") || !strings.HasPrefix(fields[home], "/") {
			continue
		}
		u, uidErr := strconv.ParseUint(fields[uid], 10, 32)
		g, gidErr := strconv.ParseUint(fields[gid], 10, 32)
		if uidErr != nil || gidErr != nil {
			continue
		}
		owner, group := uint32(u), uint32(g)
		f(&Account{Name: fields[name], UID: &owner, GID: &group, Home: fields[home]})
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
