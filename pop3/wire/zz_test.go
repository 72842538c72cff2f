package wire
import ("testing";"runtime";"context";"time")
func TestIdleMem(t *testing.T) {
	k := newFileKeeper(t, 10)
	c := &Client{Path: k.path}
	var a, b runtime.MemStats
	runtime.GC(); runtime.GC(); runtime.ReadMemStats(&a)
	var ms []*maildrop
	for range 1000 { 
		ctx, cancel := context.WithTimeout(background, time.Minute)
		m, err := c.Password(ctx, peer, "alice", "secret"); cancel()
		if err != nil {t.Fatal(err)}
		ms = append(ms, m.(*maildrop)) }
	runtime.GC(); runtime.GC(); runtime.ReadMemStats(&b)
	t.Logf("heap %d stack %d per session (both sides)", (b.HeapInuse-a.HeapInuse)/1000, (b.StackInuse-a.StackInuse)/1000)
	for _, m := range ms { m.Close() }
}
