owner_of() {
	echo "owned by $(stat -c %U "$1")"
}
