package mta

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestEximVirtual has users who are in a file of exim and in sidepop's passwd file,
// and Maildirs whose place both are told.
func TestEximVirtual(t *testing.T) {
	need(t, "exim")
	write(t, "/etc/exim4/virtual", "carol: carol\ndave: dave\n", 0o644)
	write(t, "/etc/exim4/conf.d/router/350_virtual", fmt.Sprintf(`virtual:
  driver = accept
  domains = %s
  local_parts = lsearch;/etc/exim4/virtual
  transport = virtual
`, virtualDomain), 0o644)
	write(t, "/etc/exim4/conf.d/transport/35_virtual", fmt.Sprintf(`virtual:
  driver = appendfile
  directory = %s/%s/$local_part_data/Maildir
  maildir_format
  create_directory
  envelope_to_add
  return_path_add
  user = %s
`, virtualBase, virtualDomain, virtualUser), 0o644)
	addVirtualUser(t, virtualBase)
	startExim(t, "dc_use_split_config=true", fmt.Sprintf("dc_other_hostnames='%s:%s'", hostname, virtualDomain))

	users := []person{{name: "carol@" + virtualDomain}, {name: "dave@" + virtualDomain}}
	var lines string
	for i := range users {
		users[i].password = newPassword()
		lines += fmt.Sprintf("%s:%s\n", users[i].name, hashed(t, users[i].password))
	}
	write(t, usersFile, lines, 0o600)
	serve(t, fmt.Sprintf("mailbox = \"%s/%%d/%%n/Maildir\"\nmail_user = %q\n", virtualBase, virtualUser),
		fmt.Sprintf("[auth]\npasswd_file = %q\n%s", usersFile, quickly))
	for i, local := range []string{"carol", "dave"} {
		u := users[i]
		expectMail(t, u.name, u.password, filepath.Join(virtualBase, virtualDomain, local, "Maildir"),
			sendmail(t, u.name), sendSMTP(t, u.name))
		expectStatus(t, statusAuth, u.name, "not "+u.password)
	}
	expectStatus(t, statusAuth, users[0].name, users[1].password)
}
