module sinew/peers/tasks

go 1.19
