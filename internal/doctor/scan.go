package doctor

import "os"

type scanIDs struct{}
type Scan struct{}

func scanChild(request, []*os.File) answer { return answer{} }
