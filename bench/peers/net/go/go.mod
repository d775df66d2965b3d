module sinew.dev/bench/peers/net

go 1.19
