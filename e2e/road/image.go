package road

import (
	"context"
	"io"
)

// PrepareImage makes the product's own container image from this checkout and
// returns its name.
func PrepareImage(ctx context.Context, root string, out io.Writer) (ref string, err error) {
	return ActionImage(root), prepareSteps(ctx, root, out, []step{
		{"the image of the product", []string{"make", "--no-print-directory", "image", "IMAGE=" + ActionImage(root)}},
	})
}
