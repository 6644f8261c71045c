// PDF documents that do something by being opened.  Names may be written with #xx for any letter.

rule PDF_Launch
{
    meta:
        name = "PDF.Launch"
        verdict = "banned"
        description = "action that starts a program or opens a file (ISO 32000-1, 12.6.4.5)"
    strings:
        $pdf = "%PDF-"
        $launch = /\/S\s{0,16}\/(L|#4c)(a|#61)(u|#75)(n|#6e)(c|#63)(h|#68)[\s\/<>(]/ nocase
    condition:
        $pdf in (0..1024) and $launch
}

rule PDF_JavaScript_At_Opening
{
    meta:
        name = "PDF.JavaScript"
        verdict = "banned"
        description = "JavaScript and an action at opening, other than to print the document"
    strings:
        $pdf = "%PDF-"
        $opening = /\/(O|#4f)(p|#70)(e|#65)(n|#6e)(A|#41)(c|#63)(t|#74)(i|#69)(o|#6f)(n|#6e)[\s\/<\[]/ nocase
        $action = /\/(J|#4a)(S|#53)[\s\/<(]/
        $print = /\/JS\s{0,16}\(\s{0,16}(this\.)?print\s{0,4}\\?\([^()\r\n]{0,200}\)\s{0,4};?\s{0,16}\)/
    condition:
        $pdf in (0..1024) and $opening and #action > #print
}
