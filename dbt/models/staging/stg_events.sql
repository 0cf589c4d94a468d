{{ events() }}
