package postfix

import (
	"errors"
	"strings"
	"testing"
)

func TestDomains(t *testing.T) {
	f := newFake(t, "myhostname = mx.example.org\nproxy_interfaces = 5.6.7.8, [2001:db8::1]\n"+
		"mydestination = mx.example.org, LOCAL.example .dot.example !no.example DIR/list !DIR/not, hash:DIR/table "+
		"no.example, inline:{{in.example=}}, not.example, ünï.example [9.9.9.9], last.example # after.example\n"+
		"virtual_mailbox_domains = proxy:texthash:DIR/virtual, !!v.example\n")
	f.write("list", "# comment\nfile.example, two.example\n   three.example\n\n!negated.example\n"+f.dir+"/inner\nnegated.example\n")
	f.write("inner", "inner.example\n")
	f.write("not", "not.example !notnot.example\n")
	f.write("table.db", "table.example\tx\n.sub.example\tx\n")
	f.write("virtual", "Upper.example x\nv.table.example x\n")
	for domain, want := range map[string]bool{
		"mx.example.org": true, "MX.example.org.": true, "local.example": true, "x.local.example": false,
		"dot.example": false, "x.dot.example": false, ".dot.example": true,
		"no.example": false, "file.example": true, "two.example": true, "three.example": true,
		"negated.example": false, "inner.example": true, "x.inner.example": false,
		"not.example": false, "notnot.example": true,
		"table.example": true, "x.table.example": false, "a.sub.example": false, "in.example": true,
		"ÜNÏ.example": true, "last.example": true, "after.example": false,
		"[127.0.0.1]": true, "[IPv6:::1]": true, "[127.0.0.2]": false, "[9.9.9.9]": true,
		"[5.6.7.8]": true, "[IPv6:2001:DB8::1]": true, "[2001:db8::1]": false, "[IPv6:5.6.7.8]": false, "5.6.7.8": false,
		"[x]": false, "[]": false, "[": false, "]": false, "": false, ".": false, "local.example..": false, "a\nb": false,
	} {
		if is, err := f.LocalDomain(t.Context(), domain); is != want || err != nil {
			t.Errorf("%q is local: %v %v", domain, is, err)
		}
	}
	for domain, want := range map[string]bool{
		"upper.example": false, "V.Table.Example": true, "v.example": true, "mx.example.org": false, "": false,
	} {
		if is, err := f.VirtualDomain(t.Context(), domain); is != want || err != nil {
			t.Errorf("%q is virtual: %v %v", domain, is, err)
		}
	}
	// What a file names is as the file is now.
	f.write("inner", "new.example\n")
	for domain, want := range map[string]bool{"inner.example": false, "new.example": true} {
		if is, err := f.LocalDomain(t.Context(), domain); is != want || err != nil {
			t.Errorf("after the change %q is local: %v %v", domain, is, err)
		}
	}
}

// A name that an item before the fault decides about has its answer.
func TestDomainsFail(t *testing.T) {
	for _, tc := range []struct {
		list, text string
		is         error
	}{
		{"good.example, fail:x", "mydestination: ", ErrTemporary},
		{"good.example, DIR/none", "none: no such file", ErrTemporary},
		{"good.example, !DIR/none", "none: no such file", ErrTemporary},
		{"good.example, texthash:DIR/none", "none: no such file", ErrTemporary},
		{"good.example, hash:DIR/none", "fatal: open", ErrTemporary},
		{"good.example, nosuch:", "write it as type:name", ErrConfig},
		{"good.example, DIR/self", "files name each other", ErrConfig},
		{"good.example, DIR/bad", "bad: nothing stands after a !", ErrConfig},
	} {
		f := newFake(t, "mydestination = "+tc.list+"\nvirtual_mailbox_maps = static:x\n")
		f.write("self", f.dir+"/self\n")
		f.write("bad", "a, !\n")
		if is, err := f.LocalDomain(t.Context(), "good.example"); !is || err != nil {
			t.Errorf("%q: %v %v", tc.list, is, err)
		}
		is, err := f.LocalDomain(t.Context(), "other.example")
		if is || !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%q: %v %v", tc.list, is, err)
		}
		if len(f.Files()) == 0 {
			t.Error("no files")
		}
	}
	f := newFake(t, "mydestination = fail:x\nvirtual_mailbox_maps = inline:{user=x/}\nmyorigin = DIR/mailname\n")
	if m, err := f.Mailbox(t.Context(), "user@x.example"); !errors.Is(err, ErrTemporary) {
		t.Errorf("without myorigin's file: %+v %v", m, err)
	}
	f.write("mailname", "X.example\n")
	if _, err := f.Mailbox(t.Context(), "user@x.example"); err != nil {
		t.Errorf("myorigin is local before mydestination is asked: %v", err)
	}
	if m, err := f.Mailbox(t.Context(), "user@y.example"); !errors.Is(err, ErrTemporary) {
		t.Errorf("not known to be local: %+v %v", m, err)
	}
}
