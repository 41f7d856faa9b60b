package cli

import "context"

func explainVerb(ctx context.Context, e *env, args []string) (int, error) { return 0, usageError{"todo"} }
func toolsVerb(ctx context.Context, e *env, args []string) (int, error)   { return 0, usageError{"todo"} }
func doctorVerb(ctx context.Context, e *env, args []string) (int, error)  { return 0, usageError{"todo"} }
func demoVerb(ctx context.Context, e *env, args []string) (int, error)    { return 0, usageError{"todo"} }
