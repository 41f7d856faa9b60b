package cli

import "context"

func doctorVerb(ctx context.Context, e *env, args []string) (int, error)  { return 0, usageError{"todo"} }
