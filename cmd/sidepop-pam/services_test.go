//go:build cgo && linux

package main

import (
	"os"
	"path/filepath"
	"strings"
)

// services are the world's PAM services. MODULE stands for testdata/pam_test.c.
var serviceFiles = map[string]string{
	// What Debian's common-auth and common-account have (pam-auth-update).
	"common-auth": `
auth	[success=1 default=ignore]	pam_unix.so nullok
auth	requisite	pam_deny.so
auth	required	pam_permit.so
`,
	"common-account": `
account	[success=1 new_authtok_reqd=done default=ignore]	pam_unix.so
account	requisite	pam_deny.so
account	required	pam_permit.so
`,
	"plain":  "auth required pam_unix.so nullok nodelay\naccount required pam_unix.so\n",
	"other":  "auth required pam_permit.so\naccount required pam_permit.so\n",
	"permit": "auth required pam_permit.so\naccount required pam_permit.so\n",

	"nologin": "auth required pam_unix.so nodelay\naccount required pam_nologin.so\naccount required pam_unix.so\n",
	"access":  "auth required pam_unix.so nodelay\naccount required pam_access.so accessfile=/run/access.conf\n",
	"faillock": `
auth required pam_faillock.so preauth deny=2 unlock_time=600 dir=/run/faillock
auth [success=1 default=bad] pam_unix.so nodelay
auth [default=die] pam_faillock.so authfail deny=2 unlock_time=600 dir=/run/faillock
auth sufficient pam_faillock.so authsucc deny=2 unlock_time=600 dir=/run/faillock
account required pam_faillock.so dir=/run/faillock
account required pam_unix.so
`,
	// To pam_exec every exit status but 0 is PAM_SYSTEM_ERR.
	"exec": `
auth [success=1 default=ignore] pam_exec.so expose_authtok quiet /run/check
auth requisite pam_deny.so
auth required pam_permit.so
account required pam_permit.so
`,
	"mkhomedir": `
auth required pam_unix.so nodelay
account required pam_unix.so
session required pam_unix.so
session required pam_mkhomedir.so umask=0077
`,

	"no module":    "auth required pam_nosuch.so\naccount required pam_permit.so\n",
	"syntax":       "auth required\naccount required pam_permit.so\n",
	"auth only":    "auth required pam_unix.so\n",
	"account only": "# auth required pam_unix.so\naccount required pam_unix.so\n",

	"acct-34":       "auth required pam_unix.so nodelay\naccount required MODULE code 34\n", // a code that PAM does not have
	"acct-temp":     "auth required pam_unix.so nodelay\naccount required MODULE code 9\n",  // PAM_AUTHINFO_UNAVAIL
	"auth-temp":     "auth required MODULE code 9\naccount required pam_permit.so\n",
	"auth-maxtries": "auth required MODULE code 11\naccount required pam_permit.so\n",
	"auth-expired":  "auth required MODULE code 13\naccount required pam_permit.so\n",

	"crash":         "auth required MODULE crash\naccount required pam_permit.so\n",
	"null-response": "auth required MODULE null-response\naccount required pam_permit.so\n",
	"no-messages":   "auth required MODULE no-messages\naccount required pam_permit.so\n",
	"exit":          "auth required MODULE exit\naccount required pam_permit.so\n",
	"sleep":         "auth required MODULE sleep 10\nauth required pam_unix.so\naccount required pam_permit.so\n",
	"second": `
auth required pam_unix.so nodelay
auth required MODULE ask Code:
account required pam_permit.so
`,
	"same": `
auth required MODULE ask [Your password: ]
auth required MODULE ask [Your password: ]
account required pam_permit.so
`,
	"optional-second": `
auth required pam_unix.so nodelay
auth optional MODULE ask Code:
account required pam_unix.so
`,
	"ask-echo":   "auth required MODULE ask-echo login:\naccount required pam_permit.so\n",
	"ask-binary": "auth required MODULE ask-binary x\naccount required pam_permit.so\n",
	"new-password": `
auth required pam_unix.so nodelay
account required MODULE ask [New password: ]
`,
	"repeat":        "auth required MODULE repeat\naccount required pam_permit.so\n",
	"flood":         "auth required MODULE flood\naccount required pam_permit.so\n",
	"rename":        "auth required pam_unix.so nodelay\nauth required MODULE rename other\naccount required pam_permit.so\n",
	"vanish":        "auth required pam_unix.so nodelay\nauth required MODULE rename nobodythere\naccount required pam_permit.so\n",
	"stdout":        "auth optional MODULE stdout\nauth required pam_unix.so nodelay\naccount required pam_permit.so\n",
	"items":         "auth optional MODULE items\nauth required pam_unix.so nodelay\naccount required pam_permit.so\n",
	"items-account": "auth required pam_unix.so\naccount optional MODULE items\naccount required pam_permit.so\n",

	"leak":   "auth optional MODULE leak\nauth required MODULE ask Password:\naccount required pam_permit.so\n",
	"become": "auth optional MODULE become 1001\nauth required pam_unix.so nodelay\naccount required pam_permit.so\n",
}

// makeServices writes the world's services, and that which is shipped.
func makeServices() error {
	shipped, err := os.ReadFile("../../contrib/pam.d/sidepop")
	if err != nil {
		return err
	}
	serviceFiles["sidepop"] = string(shipped)
	for name, text := range serviceFiles {
		text = strings.ReplaceAll(text, "MODULE", world.module)
		if err := os.WriteFile(filepath.Join("/etc/pam.d", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"/run/access.conf": "-:joe:192.0.2.0/24\n+:joe:LOCAL\n-:other:LOCAL\n",
		"/run/check":       "#!/bin/sh\nread -r password\n[ \"$PAM_USER,$password\" = joe,secret ]\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			return err
		}
	}
	return nil
}
