// Package pictures makes the pictures of the documentation (docs/pictures) from what the product really shows and
// sends, and its tests hold them: a drawing is compared byte by byte with one made now, and a screenshot knows the page
// that it was made of. It changes nothing but docs/pictures, and that only when it is asked to.
package pictures
