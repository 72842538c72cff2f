package postfix

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Who a mailbox is written as. Not asked is what has changed between versions:
// Postfix 3.7 takes "5002x" for 5002, and 4294967296 for root.
func TestTruthOwners(t *testing.T) {
	needTruth(t)
	write(t, truthDir+"/main.cf", truthMain)
	write(t, truthDir+"/uids", "one@a.example 5002\ntwo+x@a.example 5003\n@b.example 5004\nlocal 5005\n"+
		"low@a.example 99\nroot@a.example 0\nleast@a.example 100\nword@a.example vmail\nminus@a.example -1\n")
	var boxes strings.Builder
	addresses := []string{
		"one@a.example", "two@a.example", "two+x@a.example", "two+y@a.example", "any@b.example", "local@local.example",
		"local+x@local.example", "low@a.example", "root@a.example", "least@a.example", "word@a.example",
		"minus@a.example", "none@a.example",
	}
	for i, address := range addresses {
		fmt.Fprintf(&boxes, "%s box%d/\n", address, i)
	}
	write(t, truthDir+"/boxes", boxes.String())
	startPostfix(t, `
virtual_mailbox_maps = texthash:`+truthDir+`/boxes
virtual_uid_maps = texthash:`+truthDir+`/uids
virtual_gid_maps = inline:{{one@a.example = 0}, {two@a.example = 77}, {two+x@a.example = 78}, {@a.example = 79}, {@b.example=80}, {local=81}}
`)
	if err := os.Chmod(truthBase, 0o777); err != nil {
		t.Fatal(err)
	}
	compare(t, openTruth(t), addresses, deliver(t, addresses))
}

// Which domains are local, and which virtual.
func TestTruthDomains(t *testing.T) {
	needTruth(t)
	write(t, truthDir+"/main.cf", truthMain)
	write(t, truthDir+"/domains", "# a list\nfile.example, file2.example\n  continued.example\n!not.example\n"+truthDir+"/more\n")
	write(t, truthDir+"/more", "more.example\nhash:"+truthDir+"/domains.hash\n")
	write(t, truthDir+"/domains.hash", "hash.example x\nTable.Example x\n.dot.example x\n")
	tool(t, "postmap", "hash:"+truthDir+"/domains.hash")
	write(t, truthDir+"/domains.pcre", "/^p[0-9]+\\.example$/ x\n")
	main := `
local_transport = discard:local
virtual_transport = discard:virtual
default_transport = discard:other
transport_maps =
mydestination = $myhostname, LOCAL.example sub.example, .under.example, !no.example, texthash:` + truthDir + `/domains.hash
    !inline:{{refused.example=x}}, fail:always, both.example
virtual_mailbox_maps = inline:{{user@v.example=x}, {map.example=x}}
virtual_mailbox_domains = $virtual_mailbox_maps ` + truthDir + `/domains !` + truthDir + `/more
    pcre:` + truthDir + `/domains.pcre, proxy:inline:{{proxy.example=x}}, both.example, not.example,
    [1.2.3.4], ünï.example, !last.example, last.example
proxy_interfaces = 5.6.7.8
`
	good := strings.Replace(main, "fail:always, ", "", 1)
	domains := []string{
		"mx.example.org", "local.example", "Local.Example", "x.local.example", "under.example", "x.under.example", "no.example",
		"hash.example", "table.example", "x.dot.example", "refused.example", "both.example", "map.example", "v.example",
		"file.example", "file2.example", "continued.example", "not.example", "more.example", "x.more.example", "p1.example",
		"p.example", "x.p1.example", "proxy.example", "[1.2.3.4]", "[5.6.7.8]", "[127.0.0.1]", "[9.9.9.9]", "ünï.example",
		"ÜNÏ.example", "last.example", "other.example", "local.example.",
	}
	for name, content := range map[string]string{"good": good, "broken": main} {
		t.Run(name, func(t *testing.T) {
			startPostfix(t, content)
			p := openTruth(t)
			var addresses []string
			for _, domain := range domains {
				addresses = append(addresses, "user@"+domain)
			}
			for i, d := range deliver(t, addresses) {
				local, err := p.LocalDomain(t.Context(), domains[i])
				var virtual bool
				if err == nil && !local {
					virtual, err = p.VirtualDomain(t.Context(), domains[i])
				}
				got := "other"
				switch {
				case err != nil:
					got = "deferred"
				case local:
					got = "local"
				case virtual:
					got = "virtual"
				}
				// discard(8) logs what stands after its name.
				if d.status == "sent" && got != d.text || d.status != "sent" && got != d.status {
					t.Errorf("%s: %s (%s), but it is said to be %s (%v)", domains[i], d.status, d.text, got, err)
				}
			}
		})
	}
}
