// OneNote sections with an embedded file that runs when it is clicked.  Pictures are embedded the
// same way, so it is the file's first bytes or its name that tell.

rule OneNote_Embedded_Program
{
    meta:
        name = "OneNote.EmbeddedProgram"
        verdict = "banned"
        description = "program, shortcut or script embedded in a OneNote section"
    strings:
        // [MS-ONESTORE] 2.3.1 Header, guidFileType of .one
        $one = { E4 52 5C 7B 8C D8 A7 4D AE B1 53 78 D0 29 96 D3 }
        // 2.6.13 FileDataStoreObject: guidHeader, 20 bytes, the file
        $program = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC [20] 4D 5A }
        $shortcut = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC [20] 4C 00 00 00 01 14 02 00 }
        $any_file = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC }
        $name = /[\w\- ]\.(exe|scr|com|pif|bat|cmd|hta|js|jse|vbs|vbe|wsf|wsh|ps1|lnk|chm|msi|dll|cpl|jar)\x00/ nocase wide
    condition:
        $one at 0 and ($program or $shortcut or ($any_file and $name))
}
