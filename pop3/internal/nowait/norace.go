//go:build !race

package nowait

func sent()     {}
func received() {}
