# Uses every module with a shared object, each in a perl of its own.
use strict;
use File::Find;
my %seen;
for my $dir (grep { -d "$_/auto" } @INC) {
    find({ follow => 1, no_chdir => 1, wanted => sub {
        m{^\Q$dir\E/auto/(.+)/[^/]+\.so$} or return;
        (my $name = $1) =~ s{/}{::}g;
        return if $seen{$name}++;
        my $error = `$^X -e 'require $name' 2>&1`;
        print $? == 0 ? "used $name\n" : "FAILED $name: $error";
    } }, "$dir/auto");
}
